{# a ÷ b as DECIMAL(18, 9), cut at the ninth decimal; null where b is zero. #}
{% macro fraction_of(a, b) -%}
cast(main.exact_ratio({{ a }}, 1, nullif({{ b }}, 0)) as decimal(18, 9))
{%- endmacro %}
