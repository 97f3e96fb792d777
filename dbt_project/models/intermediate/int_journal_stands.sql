-- What each contract event should stand at, per service month and currency, as known at each close.
with points as (
    select *
    from {{ ref('int_knowledge_points') }}
    where is_posted
),

share as (
    select
        months.contract_id,
        months.point_no,
        months.service_month,
        months.currency_code,
        months.invoiced_amount,
        months.amendment_id,
        months.contractual_invoice_date,
        months.payment_terms_days,
        points.month_end_date
    from {{ ref('int_share_months') }} as months
    inner join points on months.contract_id = points.contract_id and months.point_no = points.point_no
),

payments as (
    select
        points.contract_id,
        points.point_no,
        cast(date_trunc('month', timezone(points.time_zone, payments.received_at)) as date) as service_month,
        payments.currency_code,
        payments.direction,
        payments.amount
    from points
    inner join {{ ref('stg_payments') }} as payments
        on
            points.contract_id = payments.contract_id
            and {{ known_at('payments', 'points.known_at') }}
            and points.month_end_date >= cast(timezone(points.time_zone, payments.received_at) as date)
    where payments.direction in ('received', 'paid')
),

losses as (
    select
        points.contract_id,
        points.point_no,
        cast(date_trunc('month', timezone(points.time_zone, events.effective_at)) as date) as service_month,
        coalesce(events.currency_code, points.currency_code) as currency_code,
        events.kind,
        events.amount
    from points
    inner join {{ ref('stg_credit_events') }} as events
        on
            points.contract_id = events.contract_id
            and {{ known_at('events', 'points.known_at') }}
            and points.month_end_date >= cast(timezone(points.time_zone, events.effective_at) as date)
    where events.kind in ('write_off', 'recovery')
),

stands as (
    select
        contract_id,
        point_no,
        service_month,
        'accrue_share' as event,
        currency_code,
        invoiced_amount as amount,
        amendment_id
    from share
    union all
    select
        contract_id,
        point_no,
        service_month,
        'invoice_share' as event,
        currency_code,
        invoiced_amount as amount,
        amendment_id
    from share
    where contractual_invoice_date <= month_end_date
    union all
    select
        contract_id,
        point_no,
        service_month,
        case direction when 'received' then 'receive_cash' else 'pay_claim' end as event,
        currency_code,
        amount,
        null as amendment_id
    from payments
    union all
    select
        months.contract_id,
        months.point_no,
        months.service_month,
        'accrue_claim' as event,
        months.currency_code,
        months.claim_amount as amount,
        months.amendment_id
    from {{ ref('int_backstop_months') }} as months
    inner join points on months.contract_id = points.contract_id and months.point_no = points.point_no
    union all
    select
        contract_id,
        point_no,
        service_month,
        kind as event,
        currency_code,
        amount,
        null as amendment_id
    from losses
)

select
    contract_id,
    point_no,
    service_month,
    event,
    currency_code,
    cast(sum(amount) as decimal(18, 2)) as amount,
    max(amendment_id) as amendment_id
from stands
group by contract_id, point_no, service_month, event, currency_code
