select
    contract_id,
    posting_month,
    reopened_at,
    reopened_by,
    reason
from {{ source('raw', 'period_reopening') }}
where reopened_at <= (select home.clock_at from {{ source('raw', 'home') }} as home)
