with clock as (
    select
        homes.clock_at,
        coalesce(policies.value_text, 'parkledger') || coalesce(' from the books of ' || homes.title, '') as prepared_by
    from {{ ref('stg_home') }} as homes
    left join {{ ref('stg_policy') }} as policies on policies.policy = 'prepared_by'
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
        clock.prepared_by as prepared_now_by,
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
        close_policy.close_after_days
    from months
    cross join close_policy
    where timezone(months.time_zone, cast(last_day(months.posting_month) + 1 as timestamp)) <= months.clock_at
),

-- A reopening opens its month and every later one that had ended: their books stand on it.
openings as (
    select
        contract_id,
        posting_month,
        0 as reopening_no,
        ended_at as opened_at,
        cast(month_end_date as date) as last_open_date
    from ended_months
    union all
    select
        ended_months.contract_id,
        ended_months.posting_month,
        row_number() over (partition by ended_months.contract_id, ended_months.posting_month order by reopenings.reopened_at) as reopening_no,
        reopenings.reopened_at as opened_at,
        cast(timezone(ended_months.time_zone, reopenings.reopened_at) as date) as last_open_date
    from ended_months
    inner join {{ ref('stg_period_reopening') }} as reopenings
        on
            ended_months.contract_id = reopenings.contract_id
            and ended_months.posting_month >= reopenings.posting_month
            and ended_months.ended_at <= reopenings.reopened_at
),

periods as (
    select
        ended_months.*,
        openings.reopening_no,
        openings.opened_at,
        timezone(
            ended_months.time_zone, cast(openings.last_open_date + 1 + ended_months.close_after_days as timestamp)
        ) as policy_close_at
    from ended_months
    inner join openings
        on ended_months.contract_id = openings.contract_id and ended_months.posting_month = openings.posting_month
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
        periods.contract_id,
        periods.posting_month,
        periods.reopening_no,
        arg_min(period_close_events.event_id, greatest(period_close_events.effective_at, period_close_events.recorded_at)) as event_id,
        min(greatest(period_close_events.effective_at, period_close_events.recorded_at)) as event_close_at
    from periods
    inner join period_close_events
        on
            periods.contract_id = period_close_events.contract_id
            and periods.posting_month = period_close_events.posting_month
            and {{ known_at('period_close_events', 'periods.policy_close_at') }}
            and periods.opened_at <= greatest(period_close_events.effective_at, period_close_events.recorded_at)
    group by periods.contract_id, periods.posting_month, periods.reopening_no
),

-- A sealed close stays where it was, whatever the policy and the events say since.
dated as (
    select
        periods.*,
        sealed.contract_id is not null as is_sealed,
        coalesce(sealed.prepared_by, periods.prepared_now_by) as prepared_by,
        coalesce(sealed.closed_by, event_closes.event_id, 'policy') as closed_by,
        coalesce(sealed.closed_at, event_closes.event_close_at, periods.policy_close_at) as own_close_at
    from periods
    left join event_closes
        on
            periods.contract_id = event_closes.contract_id
            and periods.posting_month = event_closes.posting_month
            and periods.reopening_no = event_closes.reopening_no
    left join {{ source('raw', 'sealed_close') }} as sealed
        on
            periods.contract_id = sealed.contract_id
            and periods.posting_month = sealed.posting_month
            and periods.reopening_no = sealed.reopening_no
),

-- Months close in order: one held open holds open those after it.
ordered as (
    select
        *,
        max(own_close_at) over (partition by contract_id, reopening_no order by posting_month) as order_close_at
    from dated
),

-- A month that a reopening found open already has nothing to reopen.
closed_then as (
    select later.*
    from ordered as later
    left join ordered as earlier
        on
            later.contract_id = earlier.contract_id
            and later.posting_month = earlier.posting_month
            and later.reopening_no = earlier.reopening_no + 1
    where earlier.contract_id is null or earlier.order_close_at <= later.opened_at
),

closes as (
    select
        *,
        max(order_close_at) over (partition by contract_id order by posting_month) as close_at
    from closed_then
    qualify row_number() over (partition by contract_id, posting_month order by reopening_no desc) = 1
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
    is_sealed and close_at <= clock_at as is_sealed,
    prepared_by,
    cast(reopening_no as integer) as reopening_no,
    cast(row_number() over (partition by contract_id order by posting_month) as integer) as close_no
from closes
