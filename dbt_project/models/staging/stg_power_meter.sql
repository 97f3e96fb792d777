with distinct_contents as (
    {{ first_of_each_content(source('raw', 'power_meter'), 'park_id, meter_id, interval_start_at, register') }}
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
from distinct_contents
