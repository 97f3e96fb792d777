select
    feed,
    park_id,
    service_date,
    file_id,
    path,
    layout,
    tranche_id,
    clock_shift_seconds,
    reading_hash,
    row_count,
    landed_count,
    min_recorded_at,
    max_recorded_at,
    is_one_gpu_a_row,
    has_xid_codes,
    microsecond_of_hour
from {{ source('raw', 'lake_file') }}
