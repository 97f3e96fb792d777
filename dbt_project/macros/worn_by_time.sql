{# What time has taken off a lifetime cap by the end of a day: straight line by days from commencement to expiry, both included. #}
{% macro worn_by_time(terms, day, expiry_date) -%}
main.exact_quotient(
    cast({{ terms }}.lifetime_cap_amount as decimal(38, 18))
    * greatest(0, least({{ day }}, {{ expiry_date }}) - {{ terms }}.service_commencement_date + 1),
    {{ expiry_date }} - {{ terms }}.service_commencement_date + 1
)
{%- endmacro %}
