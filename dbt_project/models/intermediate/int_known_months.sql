-- Where each month stands as known at each point: the last point that knew otherwise of it than the one before. Figures are computed at such points
-- alone; every later point has them from there.
with first_grants as (
    select
        contract_id,
        min(grant_date) as grant_date
    from {{ ref('stg_token_advance') }}
    group by contract_id
),

-- An advance may be granted before service begins.
months as (
    select
        points.contract_id,
        points.point_no,
        points.is_clock,
        changes.first_changed_month,
        cast(unnest(generate_series(
            date_trunc('month', least(contracts.service_commencement_date, first_grants.grant_date)), points.posting_month, interval 1 month
        )) as date) as service_month
    from {{ ref('int_knowledge_points') }} as points
    inner join {{ ref('stg_contract') }} as contracts on points.contract_id = contracts.contract_id
    inner join {{ ref('int_knowledge_changes') }} as changes on points.contract_id = changes.contract_id and points.point_no = changes.point_no
    left join first_grants on points.contract_id = first_grants.contract_id
)

select
    contract_id,
    point_no,
    service_month,
    is_clock,
    cast(max(case when first_changed_month <= service_month then point_no end) over (
        partition by contract_id, service_month order by point_no
    ) as integer) as state_point_no
from months
