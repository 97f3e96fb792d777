{# Kinds of adjustments that a tenant is billed beside the hours, as a list of literals; credits, refunds and penalties reduce the bill. #}
{% macro billed_kinds() -%}
'sales_tax', 'power_passthrough', 'other_revenue', 'storage_network_resale', 'breakage_fee'
{%- endmacro %}
