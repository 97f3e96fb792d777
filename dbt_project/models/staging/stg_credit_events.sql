with distinct_contents as (
    {{ first_of_each_content(source('raw', 'credit_events'), 'park_id, event_id') }}
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
from distinct_contents
