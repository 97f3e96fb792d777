-- Entries by hand as each close posts them; one that is changed or withdrawn is taken back in the open month, line by line.
with stands as (
    select * exclude (refusal, effective_date)
    from {{ ref('int_manual_journals') }}
    where refusal is null
),

kept as (
    select
        lines.contract_id,
        points.point_no,
        regexp_extract(lines.entry_id, ':manual_journal:(.*):\d{4}-\d{2}(:\d+)?$', 1) as event_id,
        lines.service_month,
        lines.account,
        lines.currency_code,
        sum(lines.amount) as amount
    from {{ source('raw', 'sealed_line') }} as lines
    inner join {{ ref('int_knowledge_points') }} as points
        on lines.contract_id = points.contract_id and lines.posting_month = points.posting_month and points.is_posted
    where lines.event = 'manual_journal'
    group by all
),

differences as (
    {{ posted_differences('stands', 'kept', ['event_id', 'service_month', 'account', 'currency_code']) | indent(4) }}
),

named as (
    select
        *,
        concat_ws(
            ':', contract_id, strftime(service_month, '%Y-%m'), 'manual_journal', event_id, strftime(posting_month, '%Y-%m'),
            case when reopening_no > 0 then reopening_no + 1 end
        ) as entry_id
    from differences
    where amount != 0
)

select
    entry_id,
    cast(row_number() over (partition by entry_id order by amount < 0, currency_code, account) as integer) as line_no,
    contract_id,
    event_id,
    account,
    cast(amount as decimal(18, 2)) as amount,
    currency_code,
    service_month,
    posting_month,
    known_at as posted_at,
    is_provisional,
    nullif(first_value(entry_id) over (partition by contract_id, event_id order by point_no, entry_id), entry_id) as corrects_entry_id
from named
