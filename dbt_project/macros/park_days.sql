{#
    Tables that are kept by park and service day, and rebuilt only where what they follow from has changed.

    int_park_days holds, for each park-day, fingerprints of all that its rows follow from. A model so kept reads only the park-days whose fingerprint is
    other than when it was last built (days_to_build), and replaces exactly these, in one transaction: the strategy `park_days` deletes every park-day
    that does not stand as it should, inserts what was built, and keep_fingerprints, its post-hook, notes with what it stands now. A run that is broken
    off leaves rows and notes as they were; run again, nothing is left to do. A full refresh builds all days by the same text.

    of                one of the fingerprints: outages, capacity, power, revenue, contradictions
    standing_days     where a model's notes are kept
#}
{% macro days_to_build(alias, of) -%}
-- depends_on: {{ ref('int_park_days') }}
    semi join (
        select
            days.park_id,
            days.service_date
        from {{ ref('int_park_days') }} as days
        {%- if is_incremental() %}
        anti join {{ standing_days(this) }} as standing
            on
                days.park_id = standing.park_id
                and days.service_date = standing.service_date
                and days.{{ of }}_fingerprint = standing.fingerprint
        {%- endif %}
    ) as days_to_build
        on {{ alias }}.park_id = days_to_build.park_id and {{ alias }}.service_date = days_to_build.service_date
{%- endmacro %}

{% macro standing_days(model) -%}intermediate.standing__{{ model.identifier }}{%- endmacro %}

{% macro create_standing_days() %}
create schema if not exists intermediate;
{% for name in kept_by_park_day() -%}
create table if not exists intermediate.standing__{{ name }} (park_id varchar, service_date date, fingerprint varchar);
{% endfor %}
{% endmacro %}

{% macro kept_by_park_day() -%}
{{ return([
    'int_outages__by_tranche_hour', 'int_outages__by_tranche_day', 'fct_capacity_hour', 'fct_capacity_day', 'fct_power_day',
    'int_capacity_contradictions', 'fct_lease_revenue_day'
]) }}
{%- endmacro %}

{% macro keep_fingerprints(of) %}
create or replace table {{ standing_days(this) }} as
select
    park_id,
    service_date,
    {{ of }}_fingerprint as fingerprint
from {{ ref('int_park_days') }}
{% endmacro %}

{% macro get_incremental_park_days_sql(arg_dict) %}
{%- set target, columns = arg_dict.target_relation, arg_dict.dest_columns | map(attribute='quoted') | join(', ') -%}
delete from {{ target }} as kept where not exists (
    select 1
    from {{ standing_days(target) }} as standing
    inner join {{ ref('int_park_days') }} as days
        on standing.park_id = days.park_id and standing.service_date = days.service_date and standing.fingerprint = days.{{ config.get('follows') }}_fingerprint
    where standing.park_id = kept.park_id and standing.service_date = kept.service_date
);
insert into {{ target }} ({{ columns }}) select {{ columns }} from {{ arg_dict.temp_relation }};
{% endmacro %}

{# A number for a fact; a park-day's numbers are added up, so that their order does not matter. Also where a value is null. #}
{% macro fact_number(columns) -%}
cast(hash({{ columns | join(', ') }}) as hugeint)
{%- endmacro %}

{# The text of the models that are kept so, and of the macros that they count with: who changes it has all days built anew. #}
{% macro metering_code() -%}
{%- if execute -%}
{%- set texts = [create_exact_arithmetic(), as_hours('x'), gpu_microseconds_of_overlap('n', 'a', 'b', 'c', 'd'), fraction_of('a', 'b'), billed_kinds()] -%}
{%- for name in kept_by_park_day() -%}{%- do texts.append(graph.nodes['model.parkledger.' ~ name].raw_code) -%}{%- endfor -%}
{{ local_md5(texts | join('|')) }}
{%- endif -%}
{%- endmacro %}
