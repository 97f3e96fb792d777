-- How did the allowance move, under both standards?
select
    contract_id,
    month,
    standard,
    opening_amount,
    provision_amount,
    write_off_amount,
    recovery_amount,
    closing_amount,
    posted,
    currency_code
from credit.fct_allowance_rollforward_month
order by contract_id, month, standard
