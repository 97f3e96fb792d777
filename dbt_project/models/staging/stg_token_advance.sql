select
    contract_id,
    amendment_id,
    advance_id,
    share_id,
    advance_type,
    -- What is given in tokens or GPU-hours is worth its agreed price.
    cast(round(face_amount * case unit when 'USD' then 1 else conversion_price end, 2) as decimal(18, 2)) as principal_amount,
    grant_date,
    expiry_date,
    recoup_order,
    recoupment_rate,
    coalesce(interest, 0) as interest_rate
from {{ source('raw', 'token_advance') }}
