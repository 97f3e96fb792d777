{#
    Tables of the ledgers, kept by point of knowledge (kept_parts.sql): int_point_fingerprints holds, for each contract and point, a fingerprint of all
    that is known at it, so that a run with another close computes what that close and the home's clock know. A month as known at the clock stands at
    one point; tables of the clock alone are kept by those months. What may still be claimed is kept by the month at whose end it is asked.
#}
{% macro points_to_build(alias) -%}
{{ parts_to_build(alias, 'point', 'int_point_fingerprints', ['contract_id', 'point_no']) }}
{%- endmacro %}

{% macro months_to_build(alias) -%}
{{ parts_to_build(alias, 'month', 'int_month_fingerprints', ['contract_id', 'service_month']) }}
{%- endmacro %}

{% macro as_of_months_to_build(alias) -%}
{{ parts_to_build(alias, 'exposure', 'int_exposure_fingerprints', ['contract_id', 'as_of_month']) }}
{%- endmacro %}

{% macro kept_by_point() -%}
{{ return(['int_share_components', 'int_share_revenue', 'int_share_tiers', 'int_backstop_hours', 'int_statement_steps']) }}
{%- endmacro %}

{% macro kept_by_month() -%}
{{ return(['int_share_lines']) }}
{%- endmacro %}

{% macro kept_by_as_of_month() -%}
{{ return(['int_exposure_periods']) }}
{%- endmacro %}

{% macro keep_points() %}
{{ keep_parts('point', 'int_point_fingerprints', ['contract_id', 'point_no']) }}
{% endmacro %}

{% macro keep_months() %}
{{ keep_parts('month', 'int_month_fingerprints', ['contract_id', 'service_month']) }}
{% endmacro %}

{% macro keep_as_of_months() %}
{{ keep_parts('exposure', 'int_exposure_fingerprints', ['contract_id', 'as_of_month']) }}
{% endmacro %}

{% macro get_incremental_known_points_sql(arg_dict) %}
{{ replace_parts(arg_dict, 'point', 'int_point_fingerprints', ['contract_id', 'point_no']) }}
{% endmacro %}

{% macro get_incremental_known_months_sql(arg_dict) %}
{{ replace_parts(arg_dict, 'month', 'int_month_fingerprints', ['contract_id', 'service_month']) }}
{% endmacro %}

{% macro get_incremental_as_of_months_sql(arg_dict) %}
{{ replace_parts(arg_dict, 'exposure', 'int_exposure_fingerprints', ['contract_id', 'as_of_month']) }}
{% endmacro %}

{# The text of all models between staging and marts, and of what they compute with: who changes any of it has all points built anew. #}
{% macro ledger_code() -%}
{%- if execute -%}
{%- set names = [] -%}
{%- for node in graph.nodes.values() if node.resource_type == 'model' and node.fqn[1] == 'intermediate' -%}
{%- do names.append(node.name) -%}
{%- endfor -%}
{{ code_of(names | sort, [
    create_exact_arithmetic(), create_withdrawn_gpu_count(), create_share_paid_cuts(), create_recoupments(), create_indexed_price(),
    translated('a'), prorated('a', 'b'), worn_by_time('a', 'b', 'c'), room_under('a', 'b'), accrued_since('a', 'b', 'c'),
    share_year_from('a'), contract_year_from('a'), known_at('a', 'b'), known_together('a', 'b'), first_day_from('a'),
    gpu_hours_of_overlap('a', 'b', 'c', 'd', 'e'), withdrawal_acts_at('a', 'b'), is_withdrawal_or_recall('a', 'b'), billed_kinds(),
    largest_remainder('a', 'b', 'c', 'd', 'e', 'f'), price_index_levels('a', 'b', 'c')
]) }}
{%- endif -%}
{%- endmacro %}
