select
    contract_id,
    instrument,
    term,
    valid_from,
    amendment_id,
    valid_to,
    recorded_at,
    value_text,
    evidence_grade,
    source
from {{ ref('stg_contract_term') }}
