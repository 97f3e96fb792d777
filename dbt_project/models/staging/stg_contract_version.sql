select
    contract_id,
    amendment_id,
    valid_from,
    recorded_at,
    instrument
from {{ source('raw', 'contract_version') }}
where recorded_at <= (select home.clock_at from {{ source('raw', 'home') }} as home)
