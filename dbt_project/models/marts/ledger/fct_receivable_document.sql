with invoice_dates as (
    select
        contract_id,
        point_no,
        service_month,
        max(contractual_invoice_date) as contractual_invoice_date,
        max(payment_terms_days) as payment_terms_days
    from {{ ref('int_share_months') }}
    group by contract_id, point_no, service_month
),

dues as (
    select
        contract_id,
        point_no,
        service_month,
        event,
        payment_terms_days
    from {{ ref('int_backstop_dues') }}
),

true_ups as (
    select
        contract_id,
        point_no,
        service_month,
        max(due_date) as due_date
    from {{ ref('int_share_true_ups') }}
    group by contract_id, point_no, service_month
),

reserves as (
    select
        contract_id,
        point_no,
        service_month,
        max(invoice_date) as invoice_date
    from {{ ref('int_share_reserves') }}
    group by contract_id, point_no, service_month
),

documents as (
    select
        entries.*,
        -- A sealed document keeps the dates that it went out with. A correction is dated on the last day of the month that posts it, never
        -- before the first document.
        -- What is owed under the backstop is dated on the last day of the month that posts it.
        coalesce(sealed.invoice_date, case
            when entries.event_family in ('claw_back', 'termination_payment') then entries.month_end_date
            when entries.event_family = 'invoice_reserve' and entries.corrects_entry_id is null
                then coalesce(reserves.invoice_date, entries.month_end_date)
            when entries.event_family = 'invoice_reserve' then greatest(reserves.invoice_date, entries.month_end_date)
            when entries.corrects_entry_id is null then coalesce(invoice_dates.contractual_invoice_date, entries.month_end_date)
            else greatest(invoice_dates.contractual_invoice_date, entries.month_end_date)
        end) as invoice_date,
        sealed.due_date as sealed_due_date,
        -- A correction of a true-up falls due no earlier than its own date.
        case
            when true_ups.due_date is null then null
            when entries.corrects_entry_id is null then true_ups.due_date
            else greatest(true_ups.due_date, entries.month_end_date)
        end as true_up_due_date,
        coalesce(dues.payment_terms_days, invoice_dates.payment_terms_days) as payment_terms_days
    from {{ ref('int_journal_entries') }} as entries
    left join invoice_dates
        on
            entries.contract_id = invoice_dates.contract_id
            and entries.point_no = invoice_dates.point_no
            and entries.service_month = invoice_dates.service_month
            and entries.event_family in ('invoice_share', 'invoice_true_up', 'invoice_reserve')
    left join reserves
        on
            entries.contract_id = reserves.contract_id
            and entries.point_no = reserves.point_no
            and entries.service_month = reserves.service_month
    left join true_ups
        on
            entries.contract_id = true_ups.contract_id
            and entries.point_no = true_ups.point_no
            and entries.service_month = true_ups.service_month
            and entries.event_family = 'invoice_true_up'
    left join dues
        on
            entries.contract_id = dues.contract_id
            and entries.point_no = dues.point_no
            and entries.service_month = dues.service_month
            and entries.event_family = dues.event
    left join {{ source('raw', 'sealed_document') }} as sealed
        on entries.is_sealed and entries.contract_id = sealed.contract_id and entries.entry_id = sealed.item_id
    where entries.event_family in ('invoice_share', 'invoice_true_up', 'invoice_reserve', 'claw_back', 'termination_payment')
)

select
    entry_id as item_id,
    contract_id,
    case
        when event_family in ('claw_back', 'termination_payment') then 'debit_note'
        when event = 'credit_note' or (event in ('invoice_true_up', 'invoice_reserve') and amount < 0) then 'credit_note'
        else 'invoice'
    end as kind,
    service_month,
    posting_month,
    posted_at,
    invoice_date,
    coalesce(sealed_due_date, true_up_due_date, cast(invoice_date + coalesce(payment_terms_days, 0) as date)) as due_date,
    amount as original_amount,
    currency_code,
    is_provisional,
    corrects_entry_id as corrects_item_id
from documents
