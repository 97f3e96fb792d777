with distinct_contents as (
    {{ first_of_each_content(source('raw', 'lease_adjustments'), 'park_id, adjustment_id') }}
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
from distinct_contents
