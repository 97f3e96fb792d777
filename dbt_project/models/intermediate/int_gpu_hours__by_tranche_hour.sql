{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['park_id', 'service_date'],
    on_schema_change='sync_all_columns'
) }}

-- depends_on: {{ ref('stg_lake_file') }} {{ ref('stg_park') }} {{ ref('stg_home') }} {{ ref('stg_policy') }} {{ ref('int_knowledge_points') }}
{%- set partitions = pending_telemetry_partitions(this if is_incremental() else none) %}
{%- set all_clean = partitions | selectattr('is_clean') | list %}
{%- set single_names = partitions_of_single_samples(all_clean) %}
{%- set single, clean = [], [] %}
{%- for partition in all_clean %}
{%- do (single if partition.park_id ~ '/' ~ partition.service_date in single_names else clean).append(partition) %}
{%- endfor %}
{%- set dirty = partitions | rejectattr('is_clean') | list %}

with pending (park_id, service_date, fingerprint, interval_seconds, max_recorded_at) as ( -- noqa: ST03
    select
        column_0,
        cast(column_1 as date),
        column_2,
        cast(column_3 as bigint),
        cast(column_4 as timestamptz)
    from (
        values
        {%- for partition in partitions %}
        (
            '{{ partition.park_id }}', '{{ partition.service_date }}', '{{ partition.fingerprint }}', {{ partition.interval_seconds }},
            '{{ partition.max_recorded_at }}'
        ),
        {%- endfor %}
        (null, null, null, null, null)
    ) as listed (column_0, column_1, column_2, column_3, column_4)
),

{% if single %}
-- One file without duplicate keys and one sample of a GPU an hour: each row is a GPU's hour.
single_sums as (
    select
        park_id,
        service_date,
        tranche_id,
        interval_start_at,
        count(*) as sample_count,
        sum(gpu_count) as gpu_sum,
        sum(utilization_milli_pct * gpu_count::bigint) as utilization_sum,
        sum(power_microwatt * gpu_count) as power_sum,
        sum(gpu_count) filter (where {{ is_fatal_xid() }}) as fatal_gpu_sum
    from {{ read_telemetry(single) }}
    group by park_id, service_date, tranche_id, interval_start_at
),

single_hours as (
    select
        single_sums.park_id,
        single_sums.service_date,
        single_sums.tranche_id,
        single_sums.interval_start_at,
        pending.max_recorded_at as known_from_at,
        pending.fingerprint as partition_fingerprint,
        single_sums.sample_count,
        cast(single_sums.gpu_sum * 1000 as hugeint) as sampled_milli_gpus,
        cast(single_sums.gpu_sum * least(3600, pending.interval_seconds) * 1000 as hugeint) as observed_gpu_milliseconds,
        cast(coalesce(single_sums.utilization_sum, 0) * least(3600, pending.interval_seconds) as hugeint) as busy_milli_pct_seconds,
        cast(coalesce(single_sums.power_sum, 0) * least(3600, pending.interval_seconds) as hugeint) as energy_microjoule,
        cast(coalesce(single_sums.fatal_gpu_sum, 0) * 1000 as hugeint) as fatal_milli_gpus
    from single_sums
    inner join pending
        on single_sums.park_id = pending.park_id and single_sums.service_date = pending.service_date
),
{% endif %}

{% if clean %}
-- One file without duplicate keys, all known before the next close: nothing to sort out. The day of a GPU's hour follows from the hour.
clean_gpu_hours as (
    {% for park_id in clean | map(attribute='park_id') | unique %}
    select
        '{{ park_id }}' as park_id,
        any_value(service_date) as service_date,
        any_value(tranche_id) as tranche_id,
        interval_start_at,
        {{ gpu_hour_aggregates() }}
    from {{ read_telemetry(clean | selectattr('park_id', 'equalto', park_id) | list) }}
    group by gpu_id, interval_start_at
    {{ 'union all' if not loop.last }}
    {% endfor %}
),

clean_known as (
    select
        clean_gpu_hours.*,
        pending.fingerprint,
        pending.interval_seconds,
        pending.max_recorded_at as known_from_at
    from clean_gpu_hours
    inner join pending
        on clean_gpu_hours.park_id = pending.park_id and clean_gpu_hours.service_date = pending.service_date
),

clean_hours as (
    {{ gpu_hours_of_tranches('clean_known') }}
),
{% endif %}

{% if dirty %}
-- Several files, duplicate keys or a close in between: by natural key, the last row known counts, once for each state of knowledge.
buckets (park_id, service_date, bucket_at) as (
    select
        column_0,
        cast(column_1 as date),
        cast(column_2 as timestamptz)
    from (
        values
        {%- for partition in dirty %}
        {%- for split in partition.splits %}
        ('{{ partition.park_id }}', '{{ partition.service_date }}', '{{ split }}'),
        {%- endfor %}
        ('{{ partition.park_id }}', '{{ partition.service_date }}', '9999-12-31 00:00:00+00'){{ ',' if not loop.last }}
        {%- endfor %}
    ) as listed (column_0, column_1, column_2)
),

versions as (
    select
        *,
        recorded_at as known_from_at,
        lead(recorded_at) over (
            partition by park_id, service_date, gpu_id, sampled_at order by recorded_at, content_hash, file_id, line_no
        ) as known_until_at
    from {{ read_telemetry(dirty) }}
    where recorded_at <= (select clock_at from {{ ref('stg_home') }})
),

dirty_gpu_hours as (
    select
        versions.park_id,
        versions.service_date,
        versions.tranche_id,
        versions.gpu_id,
        versions.interval_start_at,
        buckets.bucket_at,
        {{ gpu_hour_aggregates() }}
    from versions
    inner join buckets
        on
            versions.park_id = buckets.park_id
            and versions.service_date = buckets.service_date
            and {{ known_at('versions', 'buckets.bucket_at') }}
    group by
        versions.park_id, versions.service_date, versions.tranche_id, versions.gpu_id, versions.interval_start_at, buckets.bucket_at
),

-- A state of knowledge begins with the last row that it holds.
bucket_starts as (
    select
        buckets.park_id,
        buckets.service_date,
        buckets.bucket_at,
        max(versions.known_from_at) as known_from_at
    from buckets
    inner join versions
        on
            buckets.park_id = versions.park_id
            and buckets.service_date = versions.service_date
            and buckets.bucket_at >= versions.known_from_at
    group by buckets.park_id, buckets.service_date, buckets.bucket_at
),

-- Two buckets with nothing new between them are one state.
dirty_known as (
    select
        dirty_gpu_hours.*,
        bucket_starts.known_from_at,
        pending.fingerprint,
        pending.interval_seconds
    from dirty_gpu_hours
    inner join pending on dirty_gpu_hours.park_id = pending.park_id and dirty_gpu_hours.service_date = pending.service_date
    inner join (
        select
            park_id,
            service_date,
            known_from_at,
            min(bucket_at) as bucket_at
        from bucket_starts
        group by park_id, service_date, known_from_at
    ) as bucket_starts
        on
            dirty_gpu_hours.park_id = bucket_starts.park_id
            and dirty_gpu_hours.service_date = bucket_starts.service_date
            and dirty_gpu_hours.bucket_at = bucket_starts.bucket_at
),

dirty_hours as (
    {{ gpu_hours_of_tranches('dirty_known') }}
),
{% endif %}

hours as (
    {% set parts = [] %}
    {% do parts.append('single_hours') if single %}
    {% do parts.append('clean_hours') if clean %}
    {% do parts.append('dirty_hours') if dirty %}
    {% for part in parts %}
    select * from {{ part }}
    {{ 'union all' if not loop.last }}
    {% endfor %}
    {% if not partitions %}
    select
        cast(null as varchar) as park_id,
        cast(null as date) as service_date,
        cast(null as varchar) as tranche_id,
        cast(null as timestamptz) as interval_start_at,
        cast(null as timestamptz) as known_from_at,
        cast(null as varchar) as partition_fingerprint,
        cast(null as bigint) as sample_count,
        cast(null as hugeint) as sampled_milli_gpus,
        cast(null as hugeint) as observed_gpu_milliseconds,
        cast(null as hugeint) as busy_milli_pct_seconds,
        cast(null as hugeint) as energy_microjoule,
        cast(null as hugeint) as fatal_milli_gpus
    where false
    {% endif %}
)

select * from hours
