-- What is owed under the backstop beside claims: by the operator, claims taken back by withdrawals and what a termination costs it; by the vendor,
-- what a termination costs it, and what the hardware has lost of its value on the day agreed.
with claw_backs as (
    select
        contract_id,
        point_no,
        service_month,
        'operator' as owed_by,
        'claw_back' as event,
        sum(claw_back_amount) as unrounded_amount,
        max(payment_terms_days) as payment_terms_days,
        cast(null as varchar) as amendment_id
    from {{ ref('int_backstop_claw_backs') }}
    group by contract_id, point_no, service_month
),

-- The first termination that is known, on the ground that it names.
terminations as (
    select
        points.contract_id,
        points.point_no,
        min(cast(timezone(points.time_zone, events.effective_at) as date)) as termination_date,
        arg_min(json_extract_string(events.payload, '$.ground'), events.effective_at) as ground
    from {{ ref('int_knowledge_points') }} as points
    inner join {{ ref('stg_credit_events') }} as events
        on
            points.park_id = events.park_id
            and (points.contract_id = events.contract_id or events.contract_id is null)
            and {{ known_at('events', 'points.known_at') }}
            and points.month_end_date >= cast(timezone(points.time_zone, events.effective_at) as date)
    where events.kind = 'termination'
    group by points.contract_id, points.point_no
),

-- By the terms of the day before; where the backstop had ended by then there is nothing left to end.
termination_terms as (
    select
        terminations.contract_id,
        terminations.point_no,
        cast(date_trunc('month', terminations.termination_date) as date) as service_month,
        agreed.payer,
        cast(agreed.termination_amount as decimal(38, 18)) as unrounded_amount,
        backstop_terms.claim_notice_days + backstop_terms.claim_payment_days as payment_terms_days,
        backstop_terms.lifetime_cap_amount,
        terms.amendment_id
    from terminations
    inner join {{ ref('int_terms_in_force') }} as terms
        on
            terminations.contract_id = terms.contract_id
            and terminations.point_no = terms.point_no
            and terms.instrument = 'backstop'
            and terminations.termination_date - 1 between terms.from_date and terms.to_date
    inner join {{ ref('stg_backstop_terms') }} as backstop_terms
        on terms.contract_id = backstop_terms.contract_id and terms.amendment_id = backstop_terms.amendment_id
    inner join {{ ref('stg_backstop_termination') }} as agreed
        on
            terms.contract_id = agreed.contract_id
            and terms.amendment_id = agreed.amendment_id
            and terminations.ground = agreed.ground
    where agreed.termination_amount is not null
),

termination_payments as (
    select
        contract_id,
        point_no,
        service_month,
        'operator' as owed_by,
        'termination_payment' as event,
        unrounded_amount,
        payment_terms_days,
        amendment_id
    from termination_terms
    where payer = 'operator'
),

-- The vendor pays no more for the end than the lifetime cap has left after the last claim.
termination_costs as (
    select
        ends.contract_id,
        ends.point_no,
        ends.service_month,
        'vendor' as owed_by,
        'termination_cost' as event,
        cast(least(
            ends.unrounded_amount,
            main.floored_money(
                cast(coalesce(
                    arg_max_null(claims.lifetime_cap_left_amount, claims.service_month) filter (where claims.service_month is not null),
                    ends.lifetime_cap_amount
                ) as decimal(36, 12)),
                contracts.minor_unit_digits
            )
        ) as decimal(38, 18)) as unrounded_amount,
        ends.payment_terms_days,
        ends.amendment_id
    from termination_terms as ends
    inner join {{ ref('stg_contract') }} as contracts on ends.contract_id = contracts.contract_id
    left join {{ ref('int_backstop_months') }} as claims
        on ends.contract_id = claims.contract_id and ends.point_no = claims.point_no and ends.service_month >= claims.service_month
    where ends.payer = 'vendor'
    group by
        ends.contract_id,
        ends.point_no,
        ends.service_month,
        ends.unrounded_amount,
        ends.lifetime_cap_amount,
        contracts.minor_unit_digits,
        ends.payment_terms_days,
        ends.amendment_id
),

-- On the day agreed, by the terms of that day, for each GPU that runs by then: what a market had paid last, as known at the point.
supported as (
    select
        points.contract_id,
        points.point_no,
        cast(date_trunc('month', backstop_terms.rv_date) as date) as service_month,
        tranches.tranche_id,
        tranches.gpu_count,
        backstop_terms.residual_value_support_pct,
        coalesce(backstop_terms.attachment_pct, backstop_terms.residual_value_support_pct) as attachment_pct,
        backstop_terms.rv_hardware_price_per_gpu,
        backstop_terms.rv_date,
        backstop_terms.claim_notice_days + backstop_terms.claim_payment_days as payment_terms_days,
        terms.amendment_id,
        arg_max(marks.price_per_gpu, (marks.observed_date, marks.park_id is not null)) as market_price_per_gpu
    from {{ ref('int_knowledge_points') }} as points
    inner join {{ ref('int_terms_in_force') }} as terms
        on points.contract_id = terms.contract_id and points.point_no = terms.point_no and terms.instrument = 'backstop'
    inner join {{ ref('stg_backstop_terms') }} as backstop_terms
        on
            terms.contract_id = backstop_terms.contract_id
            and terms.amendment_id = backstop_terms.amendment_id
            and backstop_terms.rv_date between terms.from_date and least(terms.to_date, points.month_end_date)
    inner join {{ ref('stg_tranche') }} as tranches
        on points.contract_id = tranches.contract_id and backstop_terms.rv_date >= tranches.energised_date
    inner join {{ ref('stg_hardware_value') }} as marks
        on
            tranches.gpu_model = marks.gpu_model
            and points.currency_code = marks.currency_code
            and backstop_terms.rv_date >= marks.observed_date
            and points.known_at >= timezone(points.time_zone, cast(marks.observed_date + 1 as timestamp))
            and coalesce(marks.park_id = points.park_id, true)
    where marks.kind = 'market'
    group by all
),

residual_values as (
    select
        contract_id,
        point_no,
        service_month,
        'vendor' as owed_by,
        'residual_value_support' as event,
        sum(main.exact_product(
            least(
                main.exact_product(rv_hardware_price_per_gpu, residual_value_support_pct),
                greatest(0, main.exact_product(rv_hardware_price_per_gpu, attachment_pct) - market_price_per_gpu)
            ),
            cast(gpu_count as decimal(18, 9))
        )) as unrounded_amount,
        max(payment_terms_days) as payment_terms_days,
        arg_max(amendment_id, rv_date) as amendment_id
    from supported
    group by contract_id, point_no, service_month
),

dues as (
    select * from claw_backs
    union all by name
    select * from termination_payments
    union all by name
    select * from termination_costs
    union all by name
    select * from residual_values
)

select
    dues.contract_id,
    dues.point_no,
    dues.service_month,
    dues.owed_by,
    dues.event,
    dues.unrounded_amount,
    main.rounded_money(dues.unrounded_amount, contracts.minor_unit_digits) as due_amount,
    contracts.currency_code,
    dues.payment_terms_days,
    dues.amendment_id
from dues
inner join {{ ref('stg_contract') }} as contracts on dues.contract_id = contracts.contract_id
