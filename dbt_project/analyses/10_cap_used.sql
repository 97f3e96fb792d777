-- How much of each lifetime cap is used, and what is left?
select
    contract_id,
    service_month,
    claimed_to_date_amount,
    paid_to_date_amount,
    lifetime_cap_left_amount,
    max_exposure_amount,
    currency_code
from backstop.fct_backstop_cap_month
qualify service_month = max(service_month) over (partition by contract_id)
order by contract_id
