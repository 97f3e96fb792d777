with distinct_contents as (
    {{ first_of_each_content(source('raw', 'lease_usage'), 'park_id, lease_id, interval_start_at') }}
)

select
    park_id,
    lease_id,
    interval_start_at,
    interval_end_at,
    gpu_hours,
    {{ knowledge_interval('park_id, lease_id, interval_start_at') }}
from distinct_contents
