select
    contract_id,
    share_id,
    amendment_id,
    tier_no,
    axis,
    from_month,
    to_month,
    from_date,
    to_date,
    from_value,
    to_value,
    rate,
    application
from {{ source('raw', 'share_tier') }}
