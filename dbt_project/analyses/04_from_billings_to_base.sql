-- How do gross billings of the latest month become the base of the share?
select
    contract_id,
    service_month,
    component,
    amount,
    currency_code
from revenue_share.fct_share_base_month
where service_month = (select max(latest.service_month) from revenue_share.fct_share_base_month as latest)
order by contract_id asc, amount desc, component asc
