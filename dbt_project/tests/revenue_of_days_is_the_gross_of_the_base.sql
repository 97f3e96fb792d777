-- The gross of each base, worked out by intervals, is the sum of the daily revenue of the same leases, worked out by days: for contracts with one
-- block of the share in their own currency, third parties only, all month. A warning: a lease that changes its kind of customer within a day differs.
{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'fct_share_base_month'}}}) }}

with simple_contracts as (
    select
        segments.contract_id,
        segments.service_month
    from {{ ref('int_share_segments') }} as segments
    inner join {{ ref('int_known_months') }} as months
        on
            segments.contract_id = months.contract_id
            and segments.point_no = months.state_point_no
            and segments.service_month = months.service_month
    where months.is_clock
    group by segments.contract_id, segments.service_month
    having
        count(distinct segments.share_id) = 1
        and min(segments.customer_scope) = 'third_party_only'
        and max(segments.customer_scope) = 'third_party_only'
        and max(segments.base_scope) = 'supported_capacity_only'
        and min(segments.base_scope) = 'supported_capacity_only'
        and bool_and(segments.base_measure != 'cash_collected')
        and sum(segments.days_in_force) = max(segments.days_in_month)
),

days as (
    select
        revenue.contract_id,
        cast(date_trunc('month', revenue.service_date) as date) as service_month,
        sum(revenue.gross_billed_amount) as gross_amount,
        bool_and(revenue.currency_code = contracts.currency_code) as is_one_currency
    from {{ ref('fct_lease_revenue_day') }} as revenue
    inner join {{ ref('dim_contract') }} as contracts on revenue.contract_id = contracts.contract_id
    where revenue.customer_type = 'third_party'
    group by revenue.contract_id, cast(date_trunc('month', revenue.service_date) as date)
)

select
    bases.contract_id,
    bases.service_month,
    bases.amount,
    days.gross_amount
from {{ ref('fct_share_base_month') }} as bases
inner join simple_contracts
    on bases.contract_id = simple_contracts.contract_id and bases.service_month = simple_contracts.service_month
left join days on bases.contract_id = days.contract_id and bases.service_month = days.service_month
where
    bases.component = 'gross'
    and coalesce(days.is_one_currency, true)
    -- Each day is cut at the twelfth decimal.
    and abs(bases.amount - coalesce(days.gross_amount, 0)) > 0.000001
