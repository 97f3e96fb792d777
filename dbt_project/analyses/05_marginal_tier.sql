-- In which tier does each contract stand, at which rate, and what was earned in it?
select
    contract_id,
    service_month,
    tier_no,
    base_amount,
    rate,
    share_amount,
    currency_code
from revenue_share.fct_share_tier_month
qualify tier_no = max(tier_no) over (partition by contract_id, service_month)
order by contract_id, service_month
