-- A file that a sealed close did not have, though it had landed everything it counts: its rows cannot have been known then.
with seals as (
    select
        contracts.park_id,
        sealed.closed_at,
        sealed.batch_no
    from {{ source('raw', 'sealed_close') }} as sealed
    inner join {{ source('raw', 'contract') }} as contracts on sealed.contract_id = contracts.contract_id
)

select
    landed.park_id,
    landed.file_id,
    max(seals.closed_at) + interval 1 microsecond as known_not_before_at
from {{ source('raw', 'landed_file') }} as landed
left join {{ source('raw', 'kept_file') }} as kept
    on landed.park_id = kept.park_id and landed.feed = kept.feed and landed.file_id = kept.file_id
inner join seals on landed.park_id = seals.park_id and (kept.batch_no is null or kept.batch_no > seals.batch_no)
group by landed.park_id, landed.file_id
