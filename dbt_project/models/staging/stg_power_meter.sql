with known_rows as (
    {{ rows_known(source('raw', 'power_meter'), 'cast(timezone(held.time_zone, feed.interval_start_at) as date)') }}
)

select
    park_id,
    meter_id,
    register,
    role,
    interval_start_at,
    interval_end_at,
    energy_kwh,
    quality,
    {{ knowledge_interval('park_id, meter_id, interval_start_at, register') }}
from known_rows
