-- The states of knowledge about a tranche's day, each from the first close that sees it: what a later close learns is a row more, and nothing is told
-- again for a close that learns nothing. Outages are worked out once a state.
with clock as (
    select clock_at from {{ ref('stg_home') }}
),

tranches as (
    select
        tranches.tranche_id,
        tranches.park_id,
        tranches.contract_id,
        tranches.energised_date,
        parks.time_zone,
        cast(timezone(parks.time_zone, clock.clock_at) as date) as clock_date,
        clock.clock_at
    from {{ ref('stg_tranche') }} as tranches
    inner join {{ ref('stg_park') }} as parks on tranches.park_id = parks.park_id
    cross join clock
    where tranches.energised_date <= cast(timezone(parks.time_zone, clock.clock_at) as date)
),

-- A close sees the days of its own month and of those before; the clock sees all. Closes come in the order of their months.
instants as (
    select
        tranche_id,
        known_at,
        max(max(seen_to_date)) over (partition by tranche_id order by known_at) as seen_to_date
    from (
        select
            tranches.tranche_id,
            points.known_at,
            points.month_end_date as seen_to_date
        from tranches
        inner join {{ ref('int_knowledge_points') }} as points on tranches.contract_id = points.contract_id
        union all
        select
            tranche_id,
            clock_at as known_at,
            date '9999-12-31' as seen_to_date
        from tranches
    )
    group by tranche_id, known_at
),

first_sights as (
    select
        tranche_id,
        seen_to_date,
        min(known_at) as known_at
    from instants
    group by tranche_id, seen_to_date
),

months as (
    select
        *,
        cast(unnest(generate_series(date_trunc('month', energised_date), clock_date, interval 1 month)) as date) as service_month
    from tranches
),

-- All days of a month are first seen together.
days as (
    select
        months.tranche_id,
        months.park_id,
        first_sights.known_at as first_seen_at,
        cast(unnest(generate_series(
            greatest(months.energised_date, months.service_month),
            least(months.clock_date, last_day(months.service_month)),
            interval 1 day
        )) as date) as service_date
    from months
    asof join first_sights on months.tranche_id = first_sights.tranche_id and last_day(months.service_month) <= first_sights.seen_to_date
),

telemetry_changes as (
    select distinct
        park_id,
        service_date,
        known_from_at as changed_at
    from {{ ref('int_gpu_hours__by_tranche_hour') }}
),

event_changes as (
    select
        tranches.tranche_id,
        unnest([events.known_from_at, events.known_until_at]) as changed_at,
        cast(timezone(tranches.time_zone, events.effective_at) as date) as from_date,
        coalesce(cast(timezone(tranches.time_zone, events.ends_at) as date), tranches.clock_date) as to_date
    from {{ ref('stg_credit_events') }} as events
    inner join tranches
        on
            events.park_id = tranches.park_id
            and (events.tranche_id = tranches.tranche_id or (events.tranche_id is null and events.contract_id = tranches.contract_id))
    where events.kind in ('maintenance', 'operator_fault', 'power_curtailment', 'delivery', 'force_majeure', 'acceptance_failed')
),

-- Before the first change there is a state, too: nothing is known.
changes as (
    select
        days.*,
        timestamptz '0001-01-01 00:00:00+00' as changed_at
    from days
    union all
    select
        days.*,
        telemetry_changes.changed_at
    from days
    inner join telemetry_changes on days.park_id = telemetry_changes.park_id and days.service_date = telemetry_changes.service_date
    union all
    select
        days.*,
        event_changes.changed_at
    from days
    inner join event_changes
        on days.tranche_id = event_changes.tranche_id and days.service_date between event_changes.from_date and event_changes.to_date
    where event_changes.changed_at is not null
),

-- What is known when a day is first seen is seen with it; what comes later, by the first that sees that.
known_changes as (
    select
        * exclude (first_seen_at),
        first_seen_at as known_from_at
    from changes
    where changed_at <= first_seen_at
    union all by name
    select
        changes.* exclude (first_seen_at),
        instants.known_at as known_from_at
    from changes
    asof join instants on changes.tranche_id = instants.tranche_id and changes.changed_at <= instants.known_at
    where changes.changed_at > changes.first_seen_at
),

-- Of the changes that one close sees at once the last one names the state.
states as (
    select
        tranche_id,
        park_id,
        service_date,
        known_from_at,
        max(changed_at) as state_at
    from known_changes
    group by tranche_id, park_id, service_date, known_from_at
)

select
    tranche_id,
    park_id,
    service_date,
    state_at,
    known_from_at,
    lead(known_from_at) over (partition by tranche_id, service_date order by known_from_at) as known_until_at
from states
