{#
    What is used under leases, kept by park and service month (kept_parts.sql): int_use_fingerprints holds, for each, a fingerprint of all that has been
    said of its use, so that a run reads again the months of which something new is known. Which version an interval of use belongs to is a matter of
    the leases as known, and is asked where the use is read.
#}
{% macro kept_by_park_month() -%}
{{ return(['int_lease_use']) }}
{%- endmacro %}

{% macro use_to_build(alias) -%}
{{ parts_to_build(alias, 'use', 'int_use_fingerprints', ['park_id', 'service_month']) }}
{%- endmacro %}

{% macro keep_use() %}
{{ keep_parts('use', 'int_use_fingerprints', ['park_id', 'service_month']) }}
{% endmacro %}

{% macro get_incremental_park_months_sql(arg_dict) %}
{{ replace_parts(arg_dict, 'use', 'int_use_fingerprints', ['park_id', 'service_month']) }}
{% endmacro %}

{% macro use_code() -%}
{{ code_of(['stg_lease_usage', 'int_lease_use'], [knowledge_interval('k')]) }}
{%- endmacro %}

{# An interval of use belongs to the version in which it starts. #}
{% macro is_used_under(used, leases) -%}
{{ used }}.park_id = {{ leases }}.park_id
            and {{ used }}.lease_id = {{ leases }}.lease_id
            and {{ used }}.interval_start_at >= {{ leases }}.holds_from_at
            and {{ used }}.interval_start_at < {{ leases }}.holds_until_at
{%- endmacro %}
