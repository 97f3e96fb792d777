-- As known at the last close, or at the clock for months still open.
with last_points as (
    select
        contract_id,
        max(point_no) as point_no
    from {{ ref('int_knowledge_points') }}
    where is_posted
    group by contract_id
),

latest_events as (
    select *
    from {{ ref('stg_credit_events') }}
    where kind = 'manual_journal' and is_current
)

select
    journals.contract_id,
    journals.event_id,
    journals.service_month,
    any_value(journals.effective_date) as effective_date,
    case when any_value(journals.refusal) is null then 'posted' else 'refused' end as state,
    any_value(journals.refusal) as refusal,
    cast(sum(greatest(journals.amount, 0)) as decimal(18, 2)) as debit_amount,
    journals.currency_code,
    any_value(json_extract_string(latest_events.payload, '$.reason')) as reason,
    any_value(json_extract_string(latest_events.payload, '$.approved_by')) as approved_by,
    any_value(latest_events.recorded_at) as recorded_at
from {{ ref('int_manual_journals') }} as journals
inner join last_points on journals.contract_id = last_points.contract_id and journals.point_no = last_points.point_no
left join latest_events on journals.contract_id = latest_events.contract_id and journals.event_id = latest_events.event_id
group by journals.contract_id, journals.event_id, journals.service_month, journals.currency_code
