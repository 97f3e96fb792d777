{# What is left under a limit, never below zero; null, which least() passes over, where there is no limit. #}
{% macro room_under(limit, used) -%}
case when {{ limit }} is not null then greatest(0, {{ limit }} - {{ used }}) end
{%- endmacro %}
