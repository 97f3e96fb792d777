-- How long does collection take, beside what the vendor's own filings say of it?
select
    'contract' as level,
    contract_id as entity_id,
    month as period,
    dso_days,
    receivables_turnover
from credit.fct_collection_metrics_month
union all
select
    'issuer' as level,
    issuer_id as entity_id,
    fiscal_period_end as period,
    dso_days,
    receivables_turnover
from issuer.fct_issuer_quarter
order by level, entity_id, period
