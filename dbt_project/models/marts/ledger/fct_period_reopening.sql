select
    reopenings.contract_id,
    reopenings.posting_month,
    reopenings.reopened_at,
    reopenings.reopened_by,
    reopenings.reason
from {{ ref('stg_period_reopening') }} as reopenings
inner join {{ ref('stg_contract') }} as contracts on reopenings.contract_id = contracts.contract_id
where contracts.is_booked
