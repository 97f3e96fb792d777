-- What each segment claims before caps, by how its terms settle: unsold hours at the buy-back price, or what billed revenue falls short of the
-- revenue that is guaranteed. A guarantee buys no hours.
with revenue as (
    select
        revenue.contract_id,
        revenue.point_no,
        revenue.tranche_id,
        revenue.service_month,
        revenue.segment_no,
        cast(sum({{ translated('revenue.billed_amount') }}) as decimal(38, 18)) as billed_amount
    from {{ ref('int_backstop_revenue') }} as revenue
    left join {{ ref('int_fx_rates') }} as fx
        on
            revenue.contract_id = fx.contract_id
            and revenue.point_no = fx.point_no
            and revenue.service_month = fx.service_month
            and revenue.currency_code = fx.from_currency
            and fx.segment_no = 0
    group by revenue.contract_id, revenue.point_no, revenue.tranche_id, revenue.service_month, revenue.segment_no
),

settled as (
    select
        hours.* exclude (claim_gpu_hours, claim_before_caps_amount, buyer_own_use_reduces, agreed_deductible_gpu_hours),
        hours.claim_gpu_hours as unsold_claim_gpu_hours,
        hours.claim_before_caps_amount as unsold_claim_amount,
        coalesce(hours.settlement_type = 'revenue_shortfall', false) as guarantees_revenue,
        case
            when guarantees_revenue
                then cast(greatest(
                    0,
                    hours.committed_gpu_hours - hours.excluded_gpu_hours
                    - case when coalesce(hours.buyer_own_use_reduces, true) then hours.vendor_use_gpu_hours else 0 end
                    - hours.agreed_deductible_gpu_hours
                ) as decimal(38, 18))
        end as guaranteed_gpu_hours,
        case when guarantees_revenue then main.exact_product(guaranteed_gpu_hours, hours.buyback_price_per_gpu_hour) end as guaranteed_amount,
        case when guarantees_revenue then cast(coalesce(revenue.billed_amount, 0) as decimal(38, 18)) end as third_party_revenue_amount
    from {{ ref('int_backstop_hours') }} as hours
    left join revenue
        on
            hours.contract_id = revenue.contract_id
            and hours.point_no = revenue.point_no
            and hours.tranche_id = revenue.tranche_id
            and hours.service_month = revenue.service_month
            and hours.segment_no = revenue.segment_no
)

select
    * exclude (unsold_claim_gpu_hours, unsold_claim_amount, guarantees_revenue),
    cast(case when guarantees_revenue then 0 else unsold_claim_gpu_hours end as decimal(38, 18)) as claim_gpu_hours,
    cast(case when guarantees_revenue then greatest(0, guaranteed_amount - third_party_revenue_amount) end as decimal(38, 18)) as shortfall_amount,
    cast(case when guarantees_revenue then shortfall_amount else unsold_claim_amount end as decimal(38, 18)) as claim_before_caps_amount
from settled
