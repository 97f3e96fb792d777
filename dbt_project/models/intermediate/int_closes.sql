with clock as (
    select clock_at from {{ ref('stg_home') }}
),

close_policy as (
    select cast(value_text as integer) as close_after_days
    from {{ ref('stg_policy') }}
    where policy = 'close_after_days'
),

booked as (
    select
        contracts.contract_id,
        contracts.park_id,
        contracts.currency_code,
        contracts.service_commencement_date,
        parks.time_zone
    from {{ ref('stg_contract') }} as contracts
    inner join {{ ref('stg_park') }} as parks on contracts.park_id = parks.park_id
    where contracts.is_booked
),

months as (
    select
        booked.*,
        clock.clock_at,
        cast(unnest(generate_series(
            date_trunc('month', booked.service_commencement_date),
            cast(timezone(booked.time_zone, clock.clock_at) as date),
            interval 1 month
        )) as date) as posting_month
    from booked
    cross join clock
),

ended_months as (
    select
        months.*,
        last_day(months.posting_month) as month_end_date,
        timezone(months.time_zone, cast(last_day(months.posting_month) + 1 as timestamp)) as ended_at,
        timezone(
            months.time_zone, cast(last_day(months.posting_month) + 1 + close_policy.close_after_days as timestamp)
        ) as policy_close_at
    from months
    cross join close_policy
    where timezone(months.time_zone, cast(last_day(months.posting_month) + 1 as timestamp)) <= months.clock_at
),

-- A period_close event names its month in its payload; without one it closes the last month that had ended by its effective day.
period_close_events as (
    select
        events.event_id,
        events.contract_id,
        events.effective_at,
        events.recorded_at,
        events.known_from_at,
        events.known_until_at,
        coalesce(
            cast(try_strptime(json_extract_string(events.payload, '$.posting_month') || '-01', '%Y-%m-%d') as date),
            cast(date_trunc('month', timezone(booked.time_zone, events.effective_at)) - interval 1 month as date)
        ) as posting_month
    from {{ ref('stg_credit_events') }} as events
    inner join booked on events.contract_id = booked.contract_id
    where events.kind = 'period_close'
),

-- An event moves a close only if it was known before the month would have closed by policy: what is closed stays closed.
event_closes as (
    select
        ended_months.contract_id,
        ended_months.posting_month,
        arg_min(period_close_events.event_id, greatest(period_close_events.effective_at, period_close_events.recorded_at)) as event_id,
        min(greatest(period_close_events.effective_at, period_close_events.recorded_at)) as event_close_at
    from ended_months
    inner join period_close_events
        on
            ended_months.contract_id = period_close_events.contract_id
            and ended_months.posting_month = period_close_events.posting_month
            and {{ known_at('period_close_events', 'ended_months.policy_close_at') }}
            and ended_months.ended_at <= greatest(period_close_events.effective_at, period_close_events.recorded_at)
    group by ended_months.contract_id, ended_months.posting_month
),

closes as (
    select
        ended_months.*,
        coalesce(event_closes.event_id, 'policy') as closed_by,
        -- Months close in order: one held open holds open those after it.
        max(coalesce(event_closes.event_close_at, ended_months.policy_close_at)) over (
            partition by ended_months.contract_id order by ended_months.posting_month
        ) as close_at
    from ended_months
    left join event_closes
        on
            ended_months.contract_id = event_closes.contract_id
            and ended_months.posting_month = event_closes.posting_month
)

select
    contract_id,
    park_id,
    currency_code,
    time_zone,
    posting_month,
    month_end_date,
    ended_at,
    least(close_at, clock_at) as known_at,
    case when close_at <= clock_at then closed_by else 'clock' end as closed_by,
    close_at > clock_at as is_provisional,
    cast(row_number() over (partition by contract_id order by posting_month) as integer) as close_no
from closes
