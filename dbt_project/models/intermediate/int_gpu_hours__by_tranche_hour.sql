{{ config(
    materialized=incremental_where_it_stands(),
    incremental_strategy='delete+insert',
    unique_key=['park_id', 'service_date'],
    on_schema_change='sync_all_columns',
    post_hook="{{ forget_days_without_files(this, ref('stg_lake_file')) }}",
    tags=['metering_heavy'],
    file_format='parquet',
    location_root=spark_location()
) }}

-- depends_on: {{ ref('stg_lake_file') }} {{ ref('stg_lake_node') }} {{ ref('stg_lake_hour') }} {{ ref('stg_park') }}
-- depends_on: {{ ref('stg_home') }} {{ ref('stg_policy') }} {{ ref('int_knowledge_points') }}
{%- set partitions = pending_telemetry_partitions(this if is_incremental() else none) %}
{%- set single = partitions | selectattr('way', 'equalto', 'single') | list %}
{%- set clean = partitions | selectattr('way', 'equalto', 'clean') | list %}
{%- set dirty = partitions | selectattr('way', 'equalto', 'dirty') | list %}
{%- if partitions and is_taken_over() %}
{{ taken_over(partitions) }}
{%- else %}

with pending (park_id, service_date, fingerprint, way, interval_seconds, max_recorded_at, splits) as ( -- noqa: ST03
    select
        column_0,
        cast(column_1 as date),
        column_2,
        column_3,
        cast(column_4 as bigint),
        cast(column_5 as {{ instant_type() }}),
        column_6
    from (
        values
        {%- for partition in partitions %}
        (
            '{{ partition.park_id }}', '{{ partition.service_date }}', '{{ partition.fingerprint }}', '{{ partition.way }}',
            {{ partition.interval_seconds }}, '{{ partition.max_recorded_at }}', {{ instants(partition.splits) }}
        ),
        {%- endfor %}
        (null, null, null, null, null, null, {{ instants([]) }})
    ) as listed (column_0, column_1, column_2, column_3, column_4, column_5, column_6)
),

-- The hours of the pending partitions: which of a delivered file's rows are wanted, and on which day they count.
pending_hours as ( -- noqa: ST03
    select
        hours.interval_start_at,
        pending.*
    from {{ ref('stg_lake_hour') }} as hours
    inner join pending on hours.park_id = pending.park_id and hours.service_date = pending.service_date
),

{% if single %}
-- No repeated key and one sample of a GPU an hour: each row is a GPU's hour.
single_sums as (
    select
        park_id,
        tranche_id,
        interval_start_at,
        count(*) as sample_count,
        {{ wide_sum('gpu_count') }} as gpu_sum,
        {{ wide_sum('utilization_milli_pct * cast(gpu_count as bigint)') }} as utilization_sum,
        {{ wide_sum('power_microwatt * gpu_count') }} as power_sum,
        {{ wide_sum('gpu_count') }} filter (where {{ is_fatal_xid() }}) as fatal_gpu_sum
    from ({{ telemetry_rows(single, false) }})
    group by park_id, tranche_id, interval_start_at
),

single_hours as (
    select
        single_sums.park_id,
        pending_hours.service_date,
        single_sums.tranche_id,
        single_sums.interval_start_at,
        pending_hours.max_recorded_at as known_from_at,
        pending_hours.fingerprint as partition_fingerprint,
        single_sums.sample_count,
        cast(single_sums.gpu_sum * 1000 as {{ wide_type() }}) as sampled_milli_gpus,
        cast(single_sums.gpu_sum * least(3600, pending_hours.interval_seconds) * 1000 as {{ wide_type() }}) as observed_gpu_milliseconds,
        cast(coalesce(single_sums.utilization_sum, 0) * least(3600, pending_hours.interval_seconds) as {{ wide_type() }}) as busy_milli_pct_seconds,
        cast(coalesce(single_sums.power_sum, 0) * least(3600, pending_hours.interval_seconds) as {{ wide_type() }}) as energy_microjoule,
        cast(coalesce(single_sums.fatal_gpu_sum, 0) * 1000 as {{ wide_type() }}) as fatal_milli_gpus
    from single_sums
    inner join pending_hours
        on
            single_sums.park_id = pending_hours.park_id
            and single_sums.interval_start_at = pending_hours.interval_start_at
            and pending_hours.way = 'single'
),
{% endif %}

{% if clean %}
-- No repeated key, all known before the next close: nothing to sort out.
clean_gpu_hours as (
    select
        park_id,
        tranche_id,
        interval_start_at,
        {{ gpu_hour_aggregates(clean) }}
    from ({{ telemetry_rows(clean, false) }})
    group by park_id, tranche_id, gpu_id, interval_start_at
),

clean_known as (
    select
        clean_gpu_hours.*,
        pending_hours.service_date,
        pending_hours.fingerprint,
        pending_hours.interval_seconds,
        pending_hours.max_recorded_at as known_from_at
    from clean_gpu_hours
    inner join pending_hours
        on
            clean_gpu_hours.park_id = pending_hours.park_id
            and clean_gpu_hours.interval_start_at = pending_hours.interval_start_at
            and pending_hours.way = 'clean'
),

clean_hours as (
    {{ gpu_hours_of_tranches('clean_known') }}
),
{% endif %}

{% if dirty %}
-- Repeated keys or a close in between. Most GPU-hours of such a day are plain all the same: a mark for each minute with a sample counts as many marks
-- as samples, and no close parts them. Only the others are looked at row by row.
dirty_sums as {{ materialized_once() }} (
    select
        park_id,
        tranche_id,
        gpu_id,
        interval_start_at,
        {{ gpu_hour_aggregates(dirty) }},
        bit_or({{ minute_mark('sampled_at', 'interval_start_at') }}) as minutes,
        min(recorded_at) as first_recorded_at,
        max(recorded_at) as last_recorded_at
    from ({{ telemetry_rows(dirty, true) }})
    where recorded_at <= (select clock_at from {{ ref('stg_home') }})
    group by park_id, tranche_id, gpu_id, interval_start_at
),

-- A correction may have moved a GPU to another tranche: keys are looked for across tranches.
mixed_hours as {{ materialized_once() }} (
    select
        sums.park_id,
        sums.gpu_id,
        sums.interval_start_at
    from (
        select
            park_id,
            gpu_id,
            interval_start_at,
            sum(sample_count) as sample_count,
            bit_count(bit_or(minutes)) as minute_count,
            min(first_recorded_at) as first_recorded_at,
            max(last_recorded_at) as last_recorded_at
        from dirty_sums
        group by park_id, gpu_id, interval_start_at
    ) as sums
    inner join pending_hours
        on sums.park_id = pending_hours.park_id and sums.interval_start_at = pending_hours.interval_start_at and pending_hours.way = 'dirty'
    where
        sums.sample_count <> sums.minute_count
        or {{ has_one_between('pending_hours.splits', 'sums.first_recorded_at', 'sums.last_recorded_at') }}
),

buckets (park_id, service_date, bucket_at) as (
    select
        park_id,
        service_date,
        {{ each_and_the_end('splits') }}
    from pending
    where way = 'dirty'
),

plain_gpu_hours as (
    select
        sums.park_id,
        sums.tranche_id,
        sums.interval_start_at,
        sums.sample_count,
        sums.gpu_sum,
        sums.utilization_sum,
        sums.utilization_gpu_sum,
        sums.power_sum,
        sums.power_gpu_sum,
        sums.has_fatal_xid,
        sums.last_recorded_at,
        pending_hours.service_date,
        buckets.bucket_at
    from dirty_sums as sums
    anti join mixed_hours
        on sums.park_id = mixed_hours.park_id and sums.gpu_id = mixed_hours.gpu_id and sums.interval_start_at = mixed_hours.interval_start_at
    inner join pending_hours
        on sums.park_id = pending_hours.park_id and sums.interval_start_at = pending_hours.interval_start_at and pending_hours.way = 'dirty'
    inner join buckets
        on
            pending_hours.park_id = buckets.park_id
            and pending_hours.service_date = buckets.service_date
            and sums.last_recorded_at <= buckets.bucket_at
),

-- By natural key, the last row known counts, once for each state of knowledge.
versions as {{ materialized_once() }} (
    select
        rows.*,
        pending_hours.service_date,
        rows.recorded_at as known_from_at,
        lead(rows.recorded_at) over (
            partition by rows.park_id, rows.gpu_id, rows.sampled_at order by rows.recorded_at, rows.content, rows.file_id, rows.line_no
        ) as known_until_at
    from ({{ telemetry_rows(dirty, true) }}) as rows
    semi join mixed_hours
        on rows.park_id = mixed_hours.park_id and rows.gpu_id = mixed_hours.gpu_id and rows.interval_start_at = mixed_hours.interval_start_at
    inner join pending_hours
        on rows.park_id = pending_hours.park_id and rows.interval_start_at = pending_hours.interval_start_at and pending_hours.way = 'dirty'
    where rows.recorded_at <= (select clock_at from {{ ref('stg_home') }})
),

mixed_gpu_hours as (
    select
        versions.park_id,
        versions.tranche_id,
        versions.interval_start_at,
        {{ gpu_hour_aggregates(dirty) }},
        max(versions.recorded_at) as last_recorded_at,
        versions.service_date,
        buckets.bucket_at
    from versions
    inner join buckets
        on
            versions.park_id = buckets.park_id
            and versions.service_date = buckets.service_date
            and {{ known_at('versions', 'buckets.bucket_at') }}
    group by
        versions.park_id, versions.service_date, versions.tranche_id, versions.gpu_id, versions.interval_start_at, buckets.bucket_at
),

-- A state of knowledge begins with the last row that it holds, also where that row only repeats what was known.
bucket_starts as (
    select
        buckets.park_id,
        buckets.service_date,
        buckets.bucket_at,
        max(known.known_from_at) as known_from_at
    from buckets
    inner join (
        select distinct
            park_id,
            service_date,
            last_recorded_at as known_from_at
        from plain_gpu_hours
        union
        select distinct
            park_id,
            service_date,
            known_from_at
        from versions
    ) as known
        on
            buckets.park_id = known.park_id
            and buckets.service_date = known.service_date
            and buckets.bucket_at >= known.known_from_at
    group by buckets.park_id, buckets.service_date, buckets.bucket_at
),

-- Two buckets with nothing new between them are one state.
states as (
    select
        park_id,
        service_date,
        known_from_at,
        min(bucket_at) as bucket_at
    from bucket_starts
    group by park_id, service_date, known_from_at
),

dirty_known as (
    select
        gpu_hours.*,
        states.known_from_at,
        pending.fingerprint,
        pending.interval_seconds
    from (
        select * from plain_gpu_hours
        union all
        select * from mixed_gpu_hours
    ) as gpu_hours
    inner join pending on gpu_hours.park_id = pending.park_id and gpu_hours.service_date = pending.service_date
    inner join states
        on
            gpu_hours.park_id = states.park_id
            and gpu_hours.service_date = states.service_date
            and gpu_hours.bucket_at = states.bucket_at
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
        cast(null as {{ text_type() }}) as park_id,
        cast(null as date) as service_date,
        cast(null as {{ text_type() }}) as tranche_id,
        cast(null as {{ instant_type() }}) as interval_start_at,
        cast(null as {{ instant_type() }}) as known_from_at,
        cast(null as {{ text_type() }}) as partition_fingerprint,
        cast(null as bigint) as sample_count,
        cast(null as {{ wide_type() }}) as sampled_milli_gpus,
        cast(null as {{ wide_type() }}) as observed_gpu_milliseconds,
        cast(null as {{ wide_type() }}) as busy_milli_pct_seconds,
        cast(null as {{ wide_type() }}) as energy_microjoule,
        cast(null as {{ wide_type() }}) as fatal_milli_gpus
    where false
    {% endif %}
)

select * from hours
{%- endif %}
