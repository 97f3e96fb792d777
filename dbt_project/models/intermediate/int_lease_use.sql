{{ config(
    materialized='incremental',
    incremental_strategy='park_months',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_use() }}"
) }}

-- Metered use as known: an interval belongs to the day, and to the month, in which it starts.
with usage_rows as (
    select
        usage_rows.* exclude (known_from_at),
        usage_rows.known_from_at as visible_from_at,
        cast(timezone(parks.time_zone, usage_rows.interval_start_at) as date) as service_date,
        cast(date_trunc('month', service_date) as date) as service_month
    from {{ ref('stg_lease_usage') }} as usage_rows
    inner join {{ ref('stg_park') }} as parks on usage_rows.park_id = parks.park_id
),

known_rows as (
    select
        usage_rows.park_id,
        usage_rows.lease_id,
        usage_rows.service_month,
        usage_rows.service_date,
        usage_rows.interval_start_at,
        usage_rows.gpu_hours,
        {{ knowledge_interval('park_id, lease_id, interval_start_at') }}
    from usage_rows
    {{ use_to_build('usage_rows') }}
)

select * exclude (recorded_at, is_current, content_hash)
from known_rows
