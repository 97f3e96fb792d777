-- A partition is held back from the first file with a row that a blocking rule refuses; what came before that stays.
select distinct
    held.park_id,
    held.feed,
    held.service_date,
    landed.file_id,
    parks.time_zone
from {{ source('raw', 'held_partition') }} as held
inner join {{ source('raw', 'landed_file') }} as landed
    on held.park_id = landed.park_id and held.feed = landed.feed and held.held_from_at <= landed.received_at
inner join {{ source('raw', 'park') }} as parks on held.park_id = parks.park_id
