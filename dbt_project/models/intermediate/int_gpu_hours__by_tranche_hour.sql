{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['park_id', 'service_date'],
    on_schema_change='fail'
) }}

-- depends_on: {{ ref('stg_lake_file') }} {{ ref('stg_park') }} {{ ref('stg_home') }} {{ ref('stg_policy') }} {{ ref('int_knowledge_points') }}
{%- set partitions = pending_telemetry_partitions(this if is_incremental() else none) %}
{%- set clean = partitions | selectattr('is_clean') | list %}
{%- set dirty = partitions | rejectattr('is_clean') | list %}

with pending (park_id, service_date, fingerprint, interval_seconds) as (
    select
        column_0,
        cast(column_1 as date),
        column_2,
        cast(column_3 as bigint)
    from (
        values
        {%- for partition in partitions %}
        ('{{ partition.park_id }}', '{{ partition.service_date }}', '{{ partition.fingerprint }}', {{ partition.interval_seconds }}),
        {%- endfor %}
        (null, null, null, null)
    ) as listed (column_0, column_1, column_2, column_3)
),

fatal_codes as (
    select unnest(from_json(value_text, '["INTEGER"]')) as code
    from {{ ref('stg_policy') }}
    where policy = 'fatal_xid_codes'
),

{% if clean %}
-- One file without duplicate keys, all known before the next close: nothing to sort out.
clean_gpu_hours as (
    select
        park_id,
        service_date,
        tranche_id,
        gpu_id,
        interval_start_at,
        max(recorded_at) as last_recorded_at,
        {{ gpu_hour_aggregates() }}
    from {{ read_telemetry(clean) }}
    where recorded_at <= (select clock_at from {{ ref('stg_home') }})
    group by park_id, service_date, tranche_id, gpu_id, interval_start_at
),

clean_known as (
    select
        *,
        max(last_recorded_at) over (partition by park_id, service_date) as known_from_at
    from clean_gpu_hours
),

clean_hours as (
    {{ gpu_hours_of_tranches('clean_known', 'clean_known.known_from_at') }}
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

distinct_rows as (
    select
        *,
        row_number() over (
            partition by park_id, service_date, gpu_id, sampled_at, content_hash order by recorded_at, file_id, line_no
        ) as copy_no
    from {{ read_telemetry(dirty) }}
    where recorded_at <= (select clock_at from {{ ref('stg_home') }})
),

versions as (
    select
        *,
        recorded_at as known_from_at,
        lead(recorded_at) over (
            partition by park_id, service_date, gpu_id, sampled_at order by recorded_at, content_hash
        ) as known_until_at
    from distinct_rows
    where copy_no = 1
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
        bucket_starts.known_from_at
    from dirty_gpu_hours
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
    {{ gpu_hours_of_tranches('dirty_known', 'dirty_known.known_from_at') }}
),
{% endif %}

hours as (
    {% if clean %}
    select * from clean_hours
    {% endif %}
    {% if clean and dirty %}
    union all
    {% endif %}
    {% if dirty %}
    select * from dirty_hours
    {% endif %}
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
        cast(null as hugeint) as energy_millijoule,
        cast(null as hugeint) as fatal_milli_gpus
    where false
    {% endif %}
)

select * from hours
