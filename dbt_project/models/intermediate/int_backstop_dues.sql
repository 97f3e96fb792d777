-- What the operator owes the vendor under the backstop: claims taken back by withdrawals, and the payment that a termination costs it.
with claw_backs as (
    select
        contract_id,
        point_no,
        service_month,
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
termination_payments as (
    select
        terminations.contract_id,
        terminations.point_no,
        cast(date_trunc('month', terminations.termination_date) as date) as service_month,
        'termination_payment' as event,
        cast(agreed.termination_amount as decimal(38, 18)) as unrounded_amount,
        backstop_terms.claim_notice_days + backstop_terms.claim_payment_days as payment_terms_days,
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
            and agreed.payer = 'operator'
    where agreed.termination_amount is not null
),

dues as (
    select * from claw_backs
    union all by name
    select * from termination_payments
)

select
    dues.contract_id,
    dues.point_no,
    dues.service_month,
    dues.event,
    dues.unrounded_amount,
    main.rounded_money(dues.unrounded_amount, contracts.minor_unit_digits) as due_amount,
    contracts.currency_code,
    dues.payment_terms_days,
    dues.amendment_id
from dues
inner join {{ ref('stg_contract') }} as contracts on dues.contract_id = contracts.contract_id
