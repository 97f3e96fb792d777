-- Entries by hand: what each should stand at, line by line, as known at each close; and why one is refused.
with points as (
    select *
    from {{ ref('int_knowledge_points') }}
    where is_posted
),

known as (
    select
        points.contract_id,
        points.point_no,
        points.currency_code as contract_currency_code,
        points.month_end_date,
        events.event_id,
        cast(timezone(points.time_zone, events.effective_at) as date) as effective_date,
        events.currency_code,
        events.payload
    from points
    inner join {{ ref('stg_credit_events') }} as events
        on
            points.contract_id = events.contract_id
            and {{ known_at('events', 'points.known_at') }}
            and points.month_end_date >= cast(timezone(points.time_zone, events.effective_at) as date)
    where events.kind = 'manual_journal'
),

given_lines as (
    select
        known.* exclude (payload, currency_code),
        coalesce(known.currency_code, known.contract_currency_code) as currency_code,
        coalesce(
            cast(try_strptime(substr(json_extract_string(known.payload, '$.service_month'), 1, 7) || '-01', '%Y-%m-%d') as date),
            cast(date_trunc('month', known.effective_date) as date)
        ) as service_month,
        -- An event without lines keeps one that says so.
        unnest(case when len(json_extract(known.payload, '$.lines[*]')) > 0 then json_extract(known.payload, '$.lines[*]') else [null] end) as line
    from known
),

lines as (
    select
        given_lines.* exclude (line),
        json_extract_string(given_lines.line, '$.account') as account,
        try_cast(json_extract_string(given_lines.line, '$.amount') as decimal(18, 6)) as given_amount
    from given_lines
),

judged as (
    select
        lines.*,
        case
            when bool_or(lines.account is null) over entry then 'the payload gives no lines with an account and an amount'
            when bool_or(accounts.account is null) over entry then 'an account is not in the chart of accounts'
            when bool_or(accounts.is_control) over entry then 'a control account takes entries of its sub-ledger alone'
            when bool_or(coalesce(lines.given_amount != cast(lines.given_amount as decimal(18, 2)), true)) over entry
                then 'an amount is no number of at most two decimals'
            when sum(lines.given_amount) over entry != 0 then 'debits and credits are not equal'
            when lines.service_month > lines.month_end_date then 'its service month has not ended'
        end as refusal
    from lines
    left join {{ ref('chart_of_accounts') }} as accounts on lines.account = accounts.account
    window entry as (partition by lines.contract_id, lines.point_no, lines.event_id)
)

select
    contract_id,
    point_no,
    event_id,
    service_month,
    effective_date,
    coalesce(account, '') as account,
    currency_code,
    refusal,
    cast(sum(case when refusal is null then given_amount else 0 end) as decimal(18, 2)) as amount
from judged
group by contract_id, point_no, event_id, service_month, effective_date, account, currency_code, refusal
