-- Which stress costs the vendor most?
select
    scenario_name,
    contract_id,
    share_change_amount,
    claim_change_amount,
    expected_credit_loss_change_amount,
    share_change_amount - claim_change_amount - expected_credit_loss_change_amount as vendor_change_amount,
    covenant_breached,
    currency_code
from credit.fct_stress_result
where month = (select max(latest.month) from credit.fct_stress_result as latest)
order by vendor_change_amount nulls last, scenario_name
