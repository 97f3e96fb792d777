select
    contract_id,
    amendment_id,
    from_month,
    to_month,
    fraction
from {{ source('raw', 'backstop_ramp') }}
