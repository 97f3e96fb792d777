-- At each close in order: what should stand, less what has been posted.
with stands as (
    select * from {{ ref('int_journal_stands') }}
),

sealed_lines as (
    select
        lines.*,
        points.point_no,
        points.month_end_date,
        -- Both names of a family stand for one thing: what was invoiced, what was written off.
        case lines.event when 'credit_note' then 'invoice_share' when 'reinstatement' then 'write_off' else lines.event end as event_family
    from {{ source('raw', 'sealed_line') }} as lines
    inner join {{ ref('int_knowledge_points') }} as points
        on lines.contract_id = points.contract_id and lines.posting_month = points.posting_month and points.is_posted
    where lines.origin = 'contract' and lines.event != 'manual_journal' and lines.line_no % 2 = 1
),

kept as (
    select
        contract_id,
        point_no,
        service_month,
        event_family as event,
        currency_code,
        sum(amount) as amount
    from sealed_lines
    group by contract_id, point_no, service_month, event_family, currency_code
),

differences as (
    {{ posted_differences('stands', 'kept', ['service_month', 'event', 'currency_code']) | indent(4) }}
),

named as (
    select
        *,
        case
            when event = 'invoice_share' and amount < 0 then 'credit_note'
            when event = 'write_off' and amount < 0 then 'reinstatement'
            else event
        end as posted_event
    from differences
    where amount != 0
),

entries as (
    select
        concat_ws(
            ':', contract_id, strftime(service_month, '%Y-%m'), posted_event, strftime(posting_month, '%Y-%m'),
            -- A month that was reopened posts beside what it had posted before.
            case when reopening_no > 0 then reopening_no + 1 end
        ) as entry_id,
        contract_id,
        service_month,
        event as event_family,
        posted_event as event,
        currency_code,
        point_no,
        reopening_no,
        posting_month,
        month_end_date,
        known_at as posted_at,
        is_provisional,
        false as is_sealed,
        cast(amount as decimal(18, 2)) as amount,
        amendment_id as terms_version
    from named
    union all by name
    select
        entry_id,
        contract_id,
        service_month,
        event_family,
        event,
        currency_code,
        point_no,
        -1 as reopening_no,
        posting_month,
        month_end_date,
        posted_at,
        false as is_provisional,
        true as is_sealed,
        amount,
        terms_version
    from sealed_lines
)

select
    entry_id,
    contract_id,
    service_month,
    event_family,
    event,
    currency_code,
    point_no,
    posting_month,
    month_end_date,
    posted_at,
    is_provisional,
    is_sealed,
    amount,
    terms_version,
    nullif(
        first_value(entry_id) over (
            partition by contract_id, service_month, event_family order by posted_at, point_no, reopening_no, currency_code, entry_id
        ), entry_id
    ) as corrects_entry_id,
    cast(dense_rank() over (partition by entry_id order by currency_code) as integer) as currency_no
from entries
