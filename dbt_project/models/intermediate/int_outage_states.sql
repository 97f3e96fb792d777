-- Which state of knowledge about a tranche's day each close sees. Most days have one state for all closes; outages are worked out once a state.
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

-- A close sees the days of its own month and of those before; the clock sees all.
seen_days as (
    select
        days.tranche_id,
        days.park_id,
        days.service_date,
        points.known_at
    from days
    inner join {{ ref('int_knowledge_points') }} as points
        on days.contract_id = points.contract_id and days.service_date <= points.month_end_date
    union
    select
        tranche_id,
        park_id,
        service_date,
        clock_at as known_at
    from days
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
)

select
    seen_days.tranche_id,
    seen_days.park_id,
    seen_days.service_date,
    seen_days.known_at,
    coalesce(max(changes.changed_at), timestamptz '0001-01-01 00:00:00+00') as state_at
from seen_days
left join changes
    on
        seen_days.tranche_id = changes.tranche_id
        and seen_days.service_date = changes.service_date
        and seen_days.known_at >= changes.changed_at
group by seen_days.tranche_id, seen_days.park_id, seen_days.service_date, seen_days.known_at
