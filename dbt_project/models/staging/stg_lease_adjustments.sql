with known_rows as (
    {{ rows_known(source('raw', 'lease_adjustments'), 'feed.service_date') }}
)

select
    park_id,
    adjustment_id,
    lease_id,
    service_date,
    kind,
    amount,
    currency_code,
    {{ knowledge_interval('park_id, adjustment_id') }}
from known_rows
