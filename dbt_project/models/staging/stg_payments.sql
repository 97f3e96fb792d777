with known_rows as (
    {{ rows_known(source('raw', 'payments'), 'cast(timezone(held.time_zone, feed.received_at) as date)') }}
)

select
    park_id,
    payment_id,
    contract_id,
    direction,
    received_at,
    amount,
    currency_code,
    remittance_reference,
    funded_by_claim,
    lease_id,
    {{ knowledge_interval('park_id, payment_id') }}
from known_rows
