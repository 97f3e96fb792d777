select
    contract_id,
    amendment_id,
    ground,
    notice_days,
    payer,
    termination_amount
from {{ source('raw', 'backstop_termination') }}
