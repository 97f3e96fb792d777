-- Which scenario drives the expected credit loss of the latest month?
select
    contract_id,
    standard,
    scenario,
    weight,
    pd_fraction,
    lgd_fraction,
    exposure_amount,
    expected_credit_loss_amount,
    weighted_amount,
    currency_code
from credit.fct_credit_loss_month
where month = (select max(latest.month) from credit.fct_credit_loss_month as latest)
order by contract_id, standard, scenario
