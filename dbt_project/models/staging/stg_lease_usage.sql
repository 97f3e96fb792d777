-- Every row that was told of a lease's use: which of them counts when, int_lease_use says, month by month.
with known_rows as (
    {{ rows_known(source('raw', 'lease_usage'), 'cast(timezone(held.time_zone, feed.interval_start_at) as date)') }}
)

select
    park_id,
    lease_id,
    interval_start_at,
    interval_end_at,
    gpu_hours,
    recorded_at,
    visible_from_at as known_from_at,
    content_hash,
    file_id,
    line_no
from known_rows
