-- What each segment claims before caps, by how its terms settle: unsold hours at the buy-back price, what billed revenue falls short of the revenue
-- that is guaranteed, or what the operator's own payments of debt service or rent fell short of, up to that revenue. A guarantee buys no hours.
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
        coalesce(hours.settlement_type in ('debt_service_shortfall', 'lease_payment'), false) as guarantees_payment,
        case
            when guarantees_revenue or guarantees_payment
                then cast(greatest(
                    0,
                    hours.committed_gpu_hours - hours.excluded_gpu_hours
                    - case when coalesce(hours.buyer_own_use_reduces, true) then hours.vendor_use_gpu_hours else 0 end
                    - hours.agreed_deductible_gpu_hours
                ) as decimal(38, 18))
        end as guaranteed_gpu_hours,
        case
            when guaranteed_gpu_hours is not null then main.exact_product(guaranteed_gpu_hours, hours.buyback_price_per_gpu_hour)
        end as guaranteed_amount,
        case when guarantees_revenue then cast(coalesce(revenue.billed_amount, 0) as decimal(38, 18)) end as third_party_revenue_amount
    from {{ ref('int_backstop_hours') }} as hours
    left join revenue
        on
            hours.contract_id = revenue.contract_id
            and hours.point_no = revenue.point_no
            and hours.tranche_id = revenue.tranche_id
            and hours.service_month = revenue.service_month
            and hours.segment_no = revenue.segment_no
),

-- What was due of debt service or rent and what the operator paid of it, over the days on which the terms guarantee it. What no statement tells is
-- no claim.
guaranteed_days as (
    select
        days.contract_id,
        days.point_no,
        days.service_month,
        days.settlement_type,
        points.known_at,
        -- Each day once, on which any tranche is covered.
        main.exact_quotient(cast(count(distinct days.service_date) as decimal(38, 18)), day(last_day(days.service_month))) as part_of_month
    from (
        select
            *,
            unnest(range(from_date, to_date + 1, interval 1 day)) as service_date
        from settled
        where guarantees_payment
    ) as days
    inner join {{ ref('int_knowledge_points') }} as points on days.contract_id = points.contract_id and days.point_no = points.point_no
    group by days.contract_id, days.point_no, days.service_month, days.settlement_type, points.known_at
),

payments as (
    select
        days.contract_id,
        days.point_no,
        days.service_month,
        days.settlement_type,
        main.exact_product(
            sum(facts.amount) filter (where facts.item in ('debt_service_due', 'lease_payment_due')), any_value(days.part_of_month)
        ) as payment_due_amount,
        main.exact_product(
            sum(facts.amount) filter (where facts.item in ('debt_service_paid', 'lease_payment_paid')), any_value(days.part_of_month)
        ) as payment_made_amount
    from guaranteed_days as days
    left join {{ ref('int_contract_facts') }} as facts
        on
            days.contract_id = facts.contract_id
            and days.service_month = facts.service_month
            and {{ known_at('facts', 'days.known_at') }}
            and facts.item in (
                case days.settlement_type when 'lease_payment' then 'lease_payment_due' else 'debt_service_due' end,
                case days.settlement_type when 'lease_payment' then 'lease_payment_paid' else 'debt_service_paid' end
            )
    group by days.contract_id, days.point_no, days.service_month, days.settlement_type
),

-- Due and paid are the contract's; each tranche has its part of what falls short by what it guarantees, to the minor unit, so that the parts add up.
tranche_guarantees as (
    select
        settled.contract_id,
        settled.point_no,
        settled.service_month,
        settled.settlement_type,
        settled.tranche_id,
        contracts.minor_unit_digits,
        sum(settled.guaranteed_amount) as tranche_guaranteed_amount,
        main.rounded_money(
            greatest(0, any_value(payments.payment_due_amount) - any_value(payments.payment_made_amount)), contracts.minor_unit_digits
        ) as month_shortfall_amount
    from settled
    inner join {{ ref('stg_contract') }} as contracts on settled.contract_id = contracts.contract_id
    inner join payments
        on
            settled.contract_id = payments.contract_id
            and settled.point_no = payments.point_no
            and settled.service_month = payments.service_month
            and settled.settlement_type = payments.settlement_type
    group by
        settled.contract_id, settled.point_no, settled.service_month, settled.settlement_type, settled.tranche_id, contracts.minor_unit_digits
    having sum(settled.guaranteed_amount) > 0
),

tranche_parts as (
    {{ largest_remainder(
        'tranche_guarantees', 'contract_id, point_no, service_month, settlement_type', 'month_shortfall_amount',
        'tranche_guaranteed_amount', 'minor_unit_digits', 'tranche_id'
    ) }}
),

parts as (
    select
        settled.*,
        payments.payment_due_amount,
        payments.payment_made_amount,
        tranche_parts.part_amount,
        tranche_parts.tranche_guaranteed_amount
    from settled
    left join payments
        on
            settled.contract_id = payments.contract_id
            and settled.point_no = payments.point_no
            and settled.service_month = payments.service_month
            and settled.settlement_type = payments.settlement_type
    left join tranche_parts
        on
            settled.contract_id = tranche_parts.contract_id
            and settled.point_no = tranche_parts.point_no
            and settled.service_month = tranche_parts.service_month
            and settled.settlement_type = tranche_parts.settlement_type
            and settled.tranche_id = tranche_parts.tranche_id
),

claimed as (
    select
        *,
        cast(case
            when guarantees_revenue then greatest(0, guaranteed_amount - third_party_revenue_amount)
            when guarantees_payment and tranche_guaranteed_amount > 0
                then least(guaranteed_amount, main.exact_ratio(part_amount, guaranteed_amount, tranche_guaranteed_amount))
            when guarantees_payment then 0
        end as decimal(38, 18)) as shortfall_amount
    from parts
)

select
    * exclude (
        unsold_claim_gpu_hours, unsold_claim_amount, guarantees_revenue, guarantees_payment, part_amount, tranche_guaranteed_amount
    ),
    cast(case when guaranteed_gpu_hours is not null then 0 else unsold_claim_gpu_hours end as decimal(38, 18)) as claim_gpu_hours,
    cast(coalesce(shortfall_amount, unsold_claim_amount) as decimal(38, 18)) as claim_before_caps_amount
from claimed
