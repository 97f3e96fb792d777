with known_rows as (
    {{ rows_known(source('raw', 'credit_events')) }}
)

select
    park_id,
    event_id,
    contract_id,
    tranche_id,
    kind,
    effective_at,
    ends_at,
    gpu_count,
    amount,
    currency_code,
    payload,
    {{ knowledge_interval('park_id, event_id') }}
from known_rows
