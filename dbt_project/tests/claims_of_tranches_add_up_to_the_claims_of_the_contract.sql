-- The sum of the tranches' claims, to the cent, is what the journal carries at the clock's knowledge.
{{ config(meta={'dagster': {'ref': {'name': 'fct_backstop_month'}}}) }}

with tranches as (
    select
        contract_id,
        service_month,
        sum(claim_amount) as claim_amount
    from {{ ref('fct_backstop_month') }}
    group by contract_id, service_month
),

contracts as (
    select
        months.contract_id,
        months.service_month,
        months.claim_amount
    from {{ ref('int_backstop_months') }} as months
    inner join {{ ref('int_knowledge_points') }} as points
        on months.contract_id = points.contract_id and months.point_no = points.point_no
    where points.is_clock
)

select *
from tranches
full join contracts on tranches.contract_id = contracts.contract_id and tranches.service_month = contracts.service_month
where tranches.claim_amount is distinct from contracts.claim_amount
