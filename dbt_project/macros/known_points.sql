{#
    Tables of the ledgers, kept by point of knowledge (kept_parts.sql): int_point_fingerprints holds, for each contract and point, a fingerprint of all
    that is known at it, so that a run with another close computes what that close and the home's clock know. A month as known at the clock stands at
    one point; tables of the clock alone are kept by those months. What may still be claimed is kept by the month at whose end it is asked, what a
    statement says by the instant at which it is known.

    of    one of the fingerprints of a point: point, or history where a row is a difference from what the points before say
#}
{% macro points_to_build(alias, of='point') -%}
{{ parts_to_build(alias, of, 'int_point_fingerprints', ['contract_id', 'point_no']) }}
{%- endmacro %}

{# Whether a model that goes on from its own rows has any that stand. After a change of code none do, and rows of before may lack a column. #}
{% macro has_points_that_stand() -%}
{%- if not (execute and is_incremental()) -%}{{ return(false) }}{%- endif -%}
{%- set standing -%}
select count(*)
from {{ standing_parts(this) }} as standing
inner join {{ ref('int_point_fingerprints') }} as points
    on
        standing.contract_id = points.contract_id
        and standing.point_no = points.point_no
        and standing.fingerprint = points.point_fingerprint
{%- endset -%}
{{ return(run_query(standing).columns[0][0] > 0) }}
{%- endmacro %}

{% macro statements_to_build(alias) -%}
{{ parts_to_build(alias, 'statement', 'int_statement_fingerprints', ['contract_id', 'known_at']) }}
{%- endmacro %}

{% macro months_to_build(alias) -%}
{{ parts_to_build(alias, 'month', 'int_month_fingerprints', ['contract_id', 'service_month']) }}
{%- endmacro %}

{% macro as_of_months_to_build(alias, of='exposure') -%}
{{ parts_to_build(alias, of, 'int_' ~ of ~ '_fingerprints', ['contract_id', 'as_of_month']) }}
{%- endmacro %}

{# The point that sees an instant first, by contract: instants join it asof, on the contract and known_at. #}
{% macro first_points(points) -%}
(
        select
            contract_id,
            known_at,
            min(point_no) as point_no
        from {{ points }}
        group by contract_id, known_at
    )
{%- endmacro %}

{% macro kept_by_point() -%}
{{ return([
    'int_share_components', 'int_share_revenue', 'int_share_bases', 'int_share_tiers', 'int_share_month_states', 'int_backstop_hours',
    'int_statement_steps', 'int_journal_stands', 'int_journal_entries', 'int_share_segments', 'int_backstop_segments'
]) }}
{%- endmacro %}

{% macro kept_by_known_at() -%}
{{ return(['fct_statement_step']) }}
{%- endmacro %}

{% macro kept_by_month() -%}
{{ return(['fct_share_line']) }}
{%- endmacro %}

{% macro kept_by_as_of_month() -%}
{{ return(['int_exposure_periods', 'int_max_exposure']) }}
{%- endmacro %}

{% macro keep_points(of='point') %}
{{ keep_parts(of, 'int_point_fingerprints', ['contract_id', 'point_no']) }}
{% endmacro %}

{% macro keep_statements() %}
{{ keep_parts('statement', 'int_statement_fingerprints', ['contract_id', 'known_at']) }}
{% endmacro %}

{% macro keep_months() %}
{{ keep_parts('month', 'int_month_fingerprints', ['contract_id', 'service_month']) }}
{% endmacro %}

{% macro keep_as_of_months(of='exposure') %}
{{ keep_parts(of, 'int_' ~ of ~ '_fingerprints', ['contract_id', 'as_of_month']) }}
{% endmacro %}

{% macro get_incremental_known_points_sql(arg_dict) %}
{{ replace_parts(arg_dict, config.get('follows', 'point'), 'int_point_fingerprints', ['contract_id', 'point_no']) }}
{% endmacro %}

{% macro get_incremental_known_statements_sql(arg_dict) %}
{{ replace_parts(arg_dict, 'statement', 'int_statement_fingerprints', ['contract_id', 'known_at']) }}
{% endmacro %}

{% macro get_incremental_known_months_sql(arg_dict) %}
{{ replace_parts(arg_dict, 'month', 'int_month_fingerprints', ['contract_id', 'service_month']) }}
{% endmacro %}

{% macro get_incremental_as_of_months_sql(arg_dict) %}
{%- set of = config.get('follows', 'exposure') -%}
{{ replace_parts(arg_dict, of, 'int_' ~ of ~ '_fingerprints', ['contract_id', 'as_of_month']) }}
{% endmacro %}

{# The text of all models between staging and marts, of marts that are kept so, and of what they compute with: who changes any of it has all points
   built anew. #}
{% macro ledger_code() -%}
{%- if execute -%}
{%- set names = kept_by_known_at() + kept_by_month() -%}
{%- for node in graph.nodes.values() if node.resource_type == 'model' and node.fqn[1] == 'intermediate' -%}
{%- do names.append(node.name) -%}
{%- endfor -%}
{{ code_of(names | sort, [
    create_exact_arithmetic(), create_withdrawn_gpu_count(), create_share_paid_cuts(), create_share_following_base(), create_recoupments(), base_advances('a'), create_indexed_price(),
    translated('a'), prorated('a', 'b'), worn_by_time('a', 'b', 'c'), room_under('a', 'b'), accrued_since('a', 'b', 'c'),
    share_year_from('a'), contract_year_from('a'), known_at('a', 'b'), known_together('a', 'b'), is_used_under('a', 'b'), first_day_from('a'),
    gpu_hours_of_overlap('a', 'b', 'c', 'd', 'e'), withdrawal_acts_at('a', 'b'), is_withdrawal_or_recall('a', 'b'), billed_kinds(),
    largest_remainder('a', 'b', 'c', 'd', 'e', 'f'), price_index_levels('a', 'b', 'c'),
    posted_differences('a', 'b', 'c', ['d']), withdrawn_days('a', ['b'], 'c')
]) }}
{%- endif -%}
{%- endmacro %}
