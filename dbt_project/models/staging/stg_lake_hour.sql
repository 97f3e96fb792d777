select
    park_id,
    interval_start_at,
    service_date
from {{ source('raw', 'lake_hour') }}
