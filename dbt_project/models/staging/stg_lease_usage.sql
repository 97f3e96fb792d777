with known_rows as (
    {{ rows_known(source('raw', 'lease_usage'), 'cast(timezone(held.time_zone, feed.interval_start_at) as date)') }}
)

select
    park_id,
    lease_id,
    interval_start_at,
    interval_end_at,
    gpu_hours,
    {{ knowledge_interval('park_id, lease_id, interval_start_at') }}
from known_rows
