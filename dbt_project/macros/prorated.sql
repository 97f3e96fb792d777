{# A monthly amount by the days of a segment over the days of its month, DECIMAL(38, 18). #}
{% macro prorated(amount, segment) -%}
main.exact_quotient(cast({{ amount }} as decimal(38, 18)) * {{ segment }}.days_in_force, {{ segment }}.days_in_month)
{%- endmacro %}
