-- What may the backstop cost, and how much worse is it when the operator fails at the same time?
select
    contract_id,
    correlation_case,
    path_count,
    expected_amount,
    standard_error_amount,
    var_95_amount,
    es_99_amount,
    any_claim_probability,
    wrong_way_multiplier,
    currency_code
from credit.fct_backstop_distribution_month
where month = (select max(latest.month) from credit.fct_backstop_distribution_month as latest)
order by contract_id, correlation_case
