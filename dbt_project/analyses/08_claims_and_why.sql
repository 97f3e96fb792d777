-- Which tranches drew on the backstop, and how does the claim follow from the hours?
select
    tranche_id,
    service_month,
    committed_gpu_hours,
    excluded_gpu_hours,
    third_party_gpu_hours,
    vendor_use_gpu_hours,
    unsold_gpu_hours,
    deductible_gpu_hours,
    claim_gpu_hours,
    buyback_price_per_gpu_hour,
    claim_amount,
    currency_code
from backstop.fct_backstop_month
where claim_amount > 0
order by service_month desc, claim_amount desc
