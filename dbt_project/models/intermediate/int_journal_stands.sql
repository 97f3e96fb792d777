{{ config(
    materialized='incremental',
    incremental_strategy='known_points',
    follows='history',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_points('history') }}"
) }}

-- What each contract event should stand at, per service month and currency, as known at each close.
with points as (
    select known_points.*
    from {{ ref('int_knowledge_points') }} as known_points
    {{ points_to_build('known_points', 'history') }}
    where known_points.is_posted
),

advance_recoupments as (
    select
        months.contract_id,
        months.point_no,
        recoupments.share_id,
        months.service_month,
        recoupments.advance_id,
        recoupments.recouped_amount
    from {{ ref('int_share_recoupments') }} as recoupments
    inner join {{ ref('int_known_months') }} as months
        on
            recoupments.contract_id = months.contract_id
            and recoupments.point_no = months.state_point_no
            and recoupments.service_month = months.service_month
    inner join points on months.contract_id = points.contract_id and months.point_no = points.point_no
),

recoupments as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        sum(recouped_amount) as recouped_amount
    from advance_recoupments
    group by contract_id, point_no, share_id, service_month
),

share as (
    select
        months.contract_id,
        months.point_no,
        months.service_month,
        months.currency_code,
        months.invoiced_amount,
        coalesce(recoupments.recouped_amount, 0) as recouped_amount,
        months.amendment_id,
        months.contractual_invoice_date,
        months.payment_terms_days,
        points.month_end_date,
        coalesce(true_ups.invoiced_amount, 0) as true_up_invoiced_amount,
        coalesce(true_ups.interest_amount, 0) as true_up_interest_amount,
        coalesce(reserves.reserved_amount, 0) as reserved_amount,
        reserves.invoice_date as reserve_invoice_date
    from {{ ref('int_share_months') }} as months
    inner join points on months.contract_id = points.contract_id and months.point_no = points.point_no
    left join recoupments
        on
            months.contract_id = recoupments.contract_id
            and months.point_no = recoupments.point_no
            and months.share_id = recoupments.share_id
            and months.service_month = recoupments.service_month
    left join {{ ref('int_share_true_ups') }} as true_ups
        on
            months.contract_id = true_ups.contract_id
            and months.point_no = true_ups.point_no
            and months.share_id = true_ups.share_id
            and months.service_month = true_ups.service_month
    left join {{ ref('int_share_reserves') }} as reserves
        on
            months.contract_id = reserves.contract_id
            and months.point_no = reserves.point_no
            and months.share_id = reserves.share_id
            and months.service_month = reserves.service_month
),

-- Granted when it was granted, and given up when it expires or an amendment drops it.
advances as (
    select
        advances.contract_id,
        advances.point_no,
        advances.advance_id,
        advances.advance_type,
        advances.granted_amount,
        cast(date_trunc('month', advances.grant_date) as date) as grant_month,
        cast(date_trunc('month', advances.ended_date) as date) as end_month,
        advances.granted_amount - coalesce((
            select sum(recoupments.recouped_amount)
            from advance_recoupments as recoupments
            where
                advances.contract_id = recoupments.contract_id
                and advances.point_no = recoupments.point_no
                and advances.advance_id = recoupments.advance_id
        ), 0) as unrecouped_amount,
        advances.ended_date <= points.month_end_date as has_ended,
        points.currency_code
    from {{ ref('int_advances') }} as advances
    inner join points on advances.contract_id = points.contract_id and advances.point_no = points.point_no
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

moved as (
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
    where events.kind in ('write_off', 'recovery', 'resale')
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
        -- One invoice holds the share and what is recouped, but for a true-up that falls due by itself and what is withheld.
        invoiced_amount + recouped_amount - true_up_invoiced_amount - reserved_amount as amount,
        amendment_id
    from share
    where contractual_invoice_date <= month_end_date
    union all
    select
        contract_id,
        point_no,
        service_month,
        'invoice_true_up' as event,
        currency_code,
        true_up_invoiced_amount as amount,
        amendment_id
    from share
    where contractual_invoice_date <= month_end_date and true_up_invoiced_amount != 0
    union all
    select
        contract_id,
        point_no,
        service_month,
        'invoice_reserve' as event,
        currency_code,
        reserved_amount as amount,
        amendment_id
    from share
    where reserve_invoice_date <= month_end_date and reserved_amount != 0
    union all
    select
        contract_id,
        point_no,
        service_month,
        'true_up_interest' as event,
        currency_code,
        true_up_interest_amount as amount,
        amendment_id
    from share
    where true_up_interest_amount != 0
    union all
    select
        contract_id,
        point_no,
        service_month,
        'recoup_advance' as event,
        currency_code,
        recouped_amount as amount,
        amendment_id
    from share
    where recouped_amount != 0
    union all
    select
        contract_id,
        point_no,
        grant_month as service_month,
        case advance_type when 'cash' then 'grant_cash_advance' else 'grant_advance' end as event,
        currency_code,
        granted_amount as amount,
        null as amendment_id
    from advances
    union all
    select
        contract_id,
        point_no,
        end_month as service_month,
        'give_up_advance' as event,
        currency_code,
        unrecouped_amount as amount,
        null as amendment_id
    from advances
    where has_ended and unrecouped_amount != 0
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
        interest.contract_id,
        interest.point_no,
        interest.service_month,
        'advance_interest' as event,
        interest.currency_code,
        interest.interest_amount as amount,
        interest.amendment_id
    from {{ ref('int_advance_interest') }} as interest
    inner join points on interest.contract_id = points.contract_id and interest.point_no = points.point_no
    where interest.interest_amount != 0
    union all
    select
        dues.contract_id,
        dues.point_no,
        dues.service_month,
        dues.event,
        dues.currency_code,
        dues.due_amount as amount,
        dues.amendment_id
    from {{ ref('int_backstop_dues') }} as dues
    inner join points on dues.contract_id = points.contract_id and dues.point_no = points.point_no
    union all
    select
        contract_id,
        point_no,
        service_month,
        kind as event,
        currency_code,
        amount,
        null as amendment_id
    from moved
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
