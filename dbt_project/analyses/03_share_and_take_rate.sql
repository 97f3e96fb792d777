-- What did each contract earn month by month, and what part of the base is that?
select
    contract_id,
    service_month,
    base_amount,
    share_amount,
    share_amount / nullif(base_amount, 0) as take_rate_fraction,
    cumulative_share_amount,
    currency_code
from revenue_share.fct_share_month
order by contract_id, service_month
