-- What is the vendor owed, invoiced and not yet invoiced, by contract, at the latest month?
select
    contract_id,
    month,
    receivable_amount,
    unbilled_amount,
    receivable_amount + unbilled_amount as owed_amount,
    claims_payable_amount,
    net_amount,
    currency_code
from credit.fct_exposure_month
where month = (select max(latest.month) from credit.fct_exposure_month as latest)
order by contract_id
