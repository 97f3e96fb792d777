select
    feed,
    park_id,
    service_date,
    file_id,
    path,
    row_count,
    min_recorded_at,
    max_recorded_at,
    has_duplicate_keys
from {{ source('raw', 'lake_file') }}
