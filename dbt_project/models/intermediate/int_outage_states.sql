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

days as (
    select
        *,
        cast(unnest(generate_series(energised_date, clock_date, interval 1 day)) as date) as service_date
    from tranches
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

seen_days as (
    select
        days.tranche_id,
        days.park_id,
        days.service_date,
        first_sights.known_at as first_seen_at
    from days
    asof join first_sights on days.tranche_id = first_sights.tranche_id and days.service_date <= first_sights.seen_to_date
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

changes as (
    select
        days.tranche_id,
        days.service_date,
        telemetry_changes.changed_at
    from days
    inner join telemetry_changes on days.park_id = telemetry_changes.park_id and days.service_date = telemetry_changes.service_date
    union
    select
        days.tranche_id,
        days.service_date,
        event_changes.changed_at
    from days
    inner join event_changes
        on days.tranche_id = event_changes.tranche_id and days.service_date between event_changes.from_date and event_changes.to_date
    where event_changes.changed_at is not null
    union all
    -- Before the first change there is a state, too: nothing is known.
    select
        tranche_id,
        service_date,
        timestamptz '0001-01-01 00:00:00+00' as changed_at
    from days
),

-- What is known when a day is first seen is seen with it; what comes later, by the first that sees that.
seen_changes as (
    select
        seen_days.tranche_id,
        seen_days.park_id,
        seen_days.service_date,
        changes.changed_at,
        seen_days.first_seen_at
    from changes
    inner join seen_days on changes.tranche_id = seen_days.tranche_id and changes.service_date = seen_days.service_date
),

known_changes as (
    select
        * exclude (first_seen_at),
        first_seen_at as known_from_at
    from seen_changes
    where changed_at <= first_seen_at
    union all by name
    select
        seen_changes.* exclude (first_seen_at),
        instants.known_at as known_from_at
    from seen_changes
    asof join instants on seen_changes.tranche_id = instants.tranche_id and seen_changes.changed_at <= instants.known_at
    where seen_changes.changed_at > seen_changes.first_seen_at
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
