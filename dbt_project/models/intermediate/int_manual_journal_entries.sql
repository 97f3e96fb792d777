-- Entries by hand as each close posts them; one that is changed or withdrawn is taken back in the open month, line by line.
with points as (
    select *
    from {{ ref('int_knowledge_points') }}
    where is_posted
),

stands as (
    select * exclude (refusal, effective_date)
    from {{ ref('int_manual_journals') }}
    where refusal is null
),

sealed as (
    select
        lines.*,
        points.point_no,
        regexp_extract(lines.entry_id, ':manual_journal:(.*):\d{4}-\d{2}(:\d+)?$', 1) as event_id
    from {{ source('raw', 'sealed_line') }} as lines
    inner join points on lines.contract_id = points.contract_id and lines.posting_month = points.posting_month
    where lines.event = 'manual_journal'
),

kept as (
    select
        contract_id,
        point_no,
        event_id,
        service_month,
        account,
        currency_code,
        sum(amount) as amount
    from sealed
    group by all
),

-- What a later entry corrects may be sealed; then it is no difference of this build.
first_sealed as (
    select
        contract_id,
        event_id,
        arg_min(entry_id, (point_no, entry_id)) as entry_id
    from sealed
    group by contract_id, event_id
),

differences as (
    {{ posted_differences('points', 'stands', 'kept', ['event_id', 'service_month', 'account', 'currency_code']) | indent(4) }}
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
    named.entry_id,
    cast(
        row_number() over (partition by named.entry_id order by named.amount < 0, named.currency_code, named.account) as integer
    ) as line_no,
    named.contract_id,
    named.event_id,
    named.account,
    cast(named.amount as decimal(18, 2)) as amount,
    named.currency_code,
    named.service_month,
    named.posting_month,
    named.known_at as posted_at,
    named.is_provisional,
    coalesce(
        first_sealed.entry_id,
        nullif(
            first_value(named.entry_id) over (partition by named.contract_id, named.event_id order by named.point_no, named.entry_id),
            named.entry_id
        )
    ) as corrects_entry_id
from named
left join first_sealed on named.contract_id = first_sealed.contract_id and named.event_id = first_sealed.event_id
