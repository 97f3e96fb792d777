with distinct_contents as (
    {{ first_of_each_content(source('raw', 'payments'), 'park_id, payment_id') }}
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
from distinct_contents
