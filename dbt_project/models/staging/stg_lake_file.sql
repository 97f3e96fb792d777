select
    files.feed,
    files.park_id,
    files.service_date,
    files.file_id,
    files.path,
    files.layout,
    files.tranche_id,
    files.clock_shift_seconds,
    files.reading_hash,
    files.row_count,
    files.landed_count,
    files.min_recorded_at,
    files.max_recorded_at,
    files.is_one_gpu_a_row,
    files.has_xid_codes,
    files.microsecond_of_hour
from {{ source('raw', 'lake_file') }} as files
anti join {{ ref('stg_held_file') }} as held
    on
        files.park_id = held.park_id and files.feed = held.feed
        and files.service_date = held.service_date and files.file_id = held.file_id
