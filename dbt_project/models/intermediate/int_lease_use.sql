{{ config(
    materialized='incremental',
    incremental_strategy='park_months',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_use() }}"
) }}

-- Metered use as known: an interval belongs to the day, and to the month, in which it starts.
with intervals as (
    select
        starts.park_id,
        starts.interval_start_at,
        cast(timezone(parks.time_zone, starts.interval_start_at) as date) as service_date,
        cast(date_trunc('month', service_date) as date) as service_month
    from (
        select distinct
            park_id,
            interval_start_at
        from {{ ref('stg_lease_usage') }}
    ) as starts
    inner join {{ ref('stg_park') }} as parks on starts.park_id = parks.park_id
),

intervals_to_build as (
    select intervals.*
    from intervals
    {{ use_to_build('intervals') }}
),

usage_rows as (
    select
        usage_rows.* exclude (known_from_at),
        usage_rows.known_from_at as visible_from_at,
        intervals.service_month,
        intervals.service_date
    from {{ ref('stg_lease_usage') }} as usage_rows
    inner join intervals_to_build as intervals
        on usage_rows.park_id = intervals.park_id and usage_rows.interval_start_at = intervals.interval_start_at
),

known_rows as (
    select
        park_id,
        lease_id,
        service_month,
        service_date,
        interval_start_at,
        gpu_hours,
        {{ knowledge_interval('park_id, lease_id, interval_start_at') }}
    from usage_rows
)

select * exclude (recorded_at, is_current, content_hash)
from known_rows
