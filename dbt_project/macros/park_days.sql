{#
    Tables of metering, kept by park and service day (kept_parts.sql): int_park_days holds their fingerprints.

    of    one of the fingerprints: outages, capacity, power, revenue, contradictions
#}
{% macro days_to_build(alias, of) -%}
{{ parts_to_build(alias, of, 'int_park_days', ['park_id', 'service_date']) }}
{%- endmacro %}

{% macro kept_by_park_day() -%}
{{ return([
    'int_outages__by_tranche_hour', 'int_outages__by_tranche_day', 'fct_capacity_hour', 'fct_capacity_day', 'fct_power_day',
    'int_capacity_contradictions', 'fct_lease_revenue_day'
]) }}
{%- endmacro %}

{% macro keep_fingerprints(of) %}
{{ keep_parts(of, 'int_park_days', ['park_id', 'service_date']) }}
{% endmacro %}

{% macro get_incremental_park_days_sql(arg_dict) %}
{{ replace_parts(arg_dict, config.get('follows'), 'int_park_days', ['park_id', 'service_date']) }}
{% endmacro %}

{% macro metering_code() -%}
{{ code_of(
    kept_by_park_day(),
    [create_exact_arithmetic(), as_hours('x'), gpu_microseconds_of_overlap('n', 'a', 'b', 'c', 'd'), fraction_of('a', 'b'), billed_kinds(),
        is_used_under('a', 'b')]
) }}
{%- endmacro %}
