select
    contract_id,
    instrument,
    term,
    valid_from,
    valid_to,
    amendment_id,
    recorded_at,
    value_text,
    evidence_grade,
    source
from {{ source('raw', 'contract_term') }}
where recorded_at <= (select home.clock_at from {{ source('raw', 'home') }} as home)
