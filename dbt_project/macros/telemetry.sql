{#
    The partitions of telemetry (park, service date) whose rows in int_gpu_hours__by_tranche_hour are out of date, with the files to read.

    A partition is named by a fingerprint of all that its rows depend on: the version of this model's arithmetic, its files, the closes that fall between the first and the last
    recorded_at in them (they split what was known), the park's sampling interval and the list of fatal XID codes. A partition is pending when
    the relation that stands holds no row with its fingerprint.

    Returns a list of dicts: park_id, service_date, fingerprint, is_clean, paths (list), interval_seconds, max_recorded_at (text), splits (list of instants as text).
    Empty outside execution.
#}
{% macro pending_telemetry_partitions(standing) %}
    {%- if not execute -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set query -%}
with clock as (
    select clock_at from {{ ref('stg_home') }}
),
partitions as (
    select
        files.park_id,
        files.service_date,
        list(files.path order by files.file_id) as paths,
        string_agg(files.file_id, ',' order by files.file_id) as file_ids,
        min(files.min_recorded_at) as min_recorded_at,
        max(files.max_recorded_at) as max_recorded_at,
        count(*) = 1 and not bool_or(files.has_duplicate_keys) as has_single_keys,
        any_value(parks.telemetry_interval_seconds) as interval_seconds
    from {{ ref('stg_lake_file') }} as files
    inner join {{ ref('stg_park') }} as parks on files.park_id = parks.park_id
    where files.feed = 'gpu_telemetry'
    group by files.park_id, files.service_date
),
instants as (
    select park_id, known_at from {{ ref('int_knowledge_points') }}
    union
    select parks.park_id, clock.clock_at from {{ ref('stg_park') }} as parks cross join clock
),
splits as (
    select
        partitions.park_id,
        partitions.service_date,
        list(cast(instants.known_at as varchar) order by instants.known_at) as splits
    from partitions
    inner join instants
        on
            partitions.park_id = instants.park_id
            and partitions.min_recorded_at <= instants.known_at
            and partitions.max_recorded_at > instants.known_at
    group by partitions.park_id, partitions.service_date
),
wanted as (
    select
        partitions.*,
        coalesce(splits.splits, []) as splits,
        md5(concat_ws(
            '|', 'microjoule', partitions.file_ids, array_to_string(coalesce(splits.splits, []), ','), partitions.interval_seconds,
            (select value_text from {{ ref('stg_policy') }} where policy = 'fatal_xid_codes')
        )) as fingerprint
    from partitions
    left join splits on partitions.park_id = splits.park_id and partitions.service_date = splits.service_date
)
select
    wanted.park_id,
    cast(wanted.service_date as varchar),
    wanted.fingerprint,
    wanted.has_single_keys and len(wanted.splits) = 0 as is_clean,
    wanted.interval_seconds,
    cast(wanted.max_recorded_at as varchar),
    to_json(wanted.paths),
    to_json(wanted.splits)
from wanted
{%- if standing %}
anti join (select distinct park_id, service_date, partition_fingerprint from {{ standing }}) as done
    on wanted.park_id = done.park_id and wanted.service_date = done.service_date and wanted.fingerprint = done.partition_fingerprint
{%- endif %}
order by wanted.park_id, wanted.service_date
    {%- endset -%}
    {%- set partitions = [] -%}
    {%- for row in run_query(query).rows -%}
        {%- do partitions.append({
            'park_id': row[0], 'service_date': row[1], 'fingerprint': row[2], 'is_clean': row[3], 'interval_seconds': row[4],
            'max_recorded_at': row[5], 'paths': fromjson(row[6]), 'splits': fromjson(row[7])
        }) -%}
    {%- endfor -%}
    {{ return(partitions) }}
{% endmacro %}

{#
    Of clean partitions those in which all samples of any one hour bear the same instant: since no GPU has two samples of one instant, each row
    is then a GPU's hour by itself, and needs no grouping by GPU. Returns a list of 'park_id/service_date'.
#}
{% macro partitions_of_single_samples(clean) %}
    {%- if not clean -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set query -%}
select park_id || '/' || service_date
from (
    select park_id, service_date, min(sampled_at) = max(sampled_at) as is_one_instant
    from {{ read_telemetry(clean) }}
    group by park_id, service_date, interval_start_at
)
group by park_id, service_date
having bool_and(is_one_instant)
    {%- endset -%}
    {{ return(run_query(query).columns[0].values() | list) }}
{% endmacro %}

{# The folder of the warehouse file is the home; paths in the catalogue are relative to it. #}
{% macro home_folder() -%}
    {%- set warehouse = env_var('PARKLEDGER_WAREHOUSE') -%}
    {{ warehouse.rsplit('/', 1)[0] if '/' in warehouse else '.' }}
{%- endmacro %}

{# read_parquet over the files of the given partitions, by explicit paths. #}
{% macro read_telemetry(partitions) -%}
read_parquet(
        [
            {%- for partition in partitions %}{% set last_partition = loop.last %}
            {%- for path in partition.paths %}
            '{{ home_folder() }}/{{ path | replace("'", "''") }}'{{ ',' if not (loop.last and last_partition) }}
            {%- endfor %}
            {%- endfor %}
        ],
        hive_partitioning = true,
        hive_types = {'park_id': varchar, 'service_date': date}
    )
{%- endmacro %}

{#
    The aggregates of one GPU and hour that gpu_hours_of_tranches() reads. Sums of utilisation in one GPU-hour fit 64 bits with room to
    spare (3,600 samples × 100,000 milli-percent × 10 million GPUs); sums of power do not (× 5,000 W in microwatts) and stay HUGEINT.
#}
{% macro gpu_hour_aggregates() -%}
count(*) as sample_count,
        cast(sum(gpu_count) as bigint) as gpu_sum,
        cast(sum(utilization_milli_pct * gpu_count::bigint) as bigint) as utilization_sum,
        cast(sum(gpu_count) filter (where utilization_milli_pct is not null) as bigint) as utilization_gpu_sum,
        sum(power_microwatt * gpu_count) as power_sum,
        cast(sum(gpu_count) filter (where power_microwatt is not null) as bigint) as power_gpu_sum,
        coalesce(bool_or({{ is_fatal_xid() }}), false) as has_fatal_xid
{%- endmacro %}

{# The policy's list of fatal XID codes as a literal list of integers. #}
{% macro fatal_xid_codes() -%}
    {%- if execute -%}
        {%- set found = run_query("select value_text from " ~ ref('stg_policy') ~ " where policy = 'fatal_xid_codes'").rows -%}
        {%- set codes = fromjson(found[0][0]) if found | length else [] -%}
        [{% for code in codes %}{{ code | int }}{{ ', ' if not loop.last }}{% endfor %}]::integer[]
    {%- else -%}
        []::integer[]
    {%- endif -%}
{%- endmacro %}

{% macro is_fatal_xid() -%}
list_contains({{ fatal_xid_codes() }}, xid_code)
{%- endmacro %}

{#
    A mean over samples × seconds observed × GPUs, from the sums of one GPU-hour, to the nearest whole unit. Where every sample has a value and
    the hour is not over-full this is simply sum × interval, without a division.
#}
{% macro observed_total(value_sum, value_gpu_sum) -%}
case
            when {{ value_gpu_sum }} = gpu_sum and sample_count * interval_seconds <= 3600 then {{ value_sum }} * interval_seconds
            else main.rounded_quotient(
                {{ value_sum }}::hugeint * gpu_sum * least(3600, sample_count * interval_seconds), {{ value_gpu_sum }}::hugeint * sample_count
            )
        end
{%- endmacro %}

{# GPUs that a GPU-hour stands for, in thousandths: the mean of its samples' counts, since a rack may be read with a changing count. #}
{% macro milli_gpus() -%}
case
            when gpu_sum % sample_count = 0 then gpu_sum // sample_count * 1000
            else cast(main.rounded_quotient(gpu_sum * 1000::hugeint, sample_count::hugeint) as bigint)
        end
{%- endmacro %}

{#
    From GPU-hours to tranche-hours, in whole numbers:
    observed seconds = min(3600, samples × interval) × GPUs; busy = mean utilisation × observed seconds, in units of 1e-5 second
    (milli-percent × second); energy = mean power × observed seconds, in microjoule; each GPU-hour is divided at most once.
#}
{% macro gpu_hours_of_tranches(relation) -%}
select
        park_id,
        service_date,
        tranche_id,
        interval_start_at,
        known_from_at,
        any_value(fingerprint) as partition_fingerprint,
        cast(sum(sample_count) as bigint) as sample_count,
        cast(sum({{ milli_gpus() }}) as hugeint) as sampled_milli_gpus,
        cast(sum(
            case
                when sample_count * interval_seconds <= 3600 then gpu_sum * interval_seconds * 1000
                else cast(main.rounded_quotient(gpu_sum * 3600000::hugeint, sample_count::hugeint) as bigint)
            end
        ) as hugeint) as observed_gpu_milliseconds,
        cast(coalesce(sum({{ observed_total('utilization_sum', 'utilization_gpu_sum') }}), 0) as hugeint) as busy_milli_pct_seconds,
        cast(coalesce(sum({{ observed_total('power_sum', 'power_gpu_sum') }}), 0) as hugeint) as energy_microjoule,
        cast(coalesce(sum({{ milli_gpus() }}) filter (where has_fatal_xid), 0) as hugeint) as fatal_milli_gpus
    from {{ relation }}
    group by park_id, service_date, tranche_id, interval_start_at, known_from_at
{%- endmacro %}
