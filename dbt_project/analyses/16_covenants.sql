-- Which covenant is nearest to breaking, and in how many months at the present trend?
select
    contract_id,
    covenant_id,
    metric,
    operator,
    threshold,
    value,
    headroom,
    months_to_breach,
    passed,
    coalesce(value_null_reason, '') as reason,
    consequence
from credit.fct_covenant_test_month
where month = (select max(latest.month) from credit.fct_covenant_test_month as latest)
order by months_to_breach nulls last, headroom nulls last, covenant_id
