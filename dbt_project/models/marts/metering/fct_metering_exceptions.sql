with tranche_exceptions as (
    unpivot {{ ref('int_capacity_contradictions') }}
    on busy_without_lease, leased_without_telemetry, over_leased
    into name kind value quantity
),

lease_exceptions as (
    select
        'billed_over_metered' as kind,
        park_id,
        tranche_id,
        lease_id,
        service_date,
        billed_gpu_hours - metered_gpu_hours as quantity,
        'gpu_hours' as unit
    from {{ ref('fct_lease_revenue_day') }}
    where billed_gpu_hours > metered_gpu_hours
),

-- What GPUs drew by their own sensors is part of the IT load: more than the IT meter, or than the whole facility, cannot be.
park_exceptions as (
    select
        'pue_out_of_bounds' as kind,
        power.park_id,
        power.service_date,
        power.pue as quantity,
        'ratio' as unit
    from {{ ref('fct_power_day') }} as power
    inner join {{ ref('stg_park') }} as parks on power.park_id = parks.park_id
    where power.pue < parks.pue_min or power.pue > parks.pue_max
    union all
    select
        'energy_mismatch' as kind,
        park_id,
        service_date,
        telemetry_it_energy_kwh - case when it_energy_source = 'meter' then it_energy_kwh else facility_energy_kwh end as quantity,
        'kwh' as unit
    from {{ ref('fct_power_day') }}
    where telemetry_it_energy_kwh > case when it_energy_source = 'meter' then it_energy_kwh else facility_energy_kwh end
),

-- A later version that begins before an earlier one leaves nothing of it: the hours that the earlier one held are shown.
known_versions as (
    select leases.*
    from {{ ref('stg_leases') }} as leases
    inner join {{ ref('stg_home') }} as stg_home on {{ known_at('leases', 'stg_home.clock_at') }}
),

version_exceptions as (
    select
        'lease_versions_overlap' as kind,
        earlier.park_id,
        earlier.tranche_id,
        earlier.lease_id || '/' || earlier.version as lease_id,
        cast(timezone(any_value(parks.time_zone), earlier.starts_at) as date) as service_date,
        earlier.gpu_count * datediff('second', earlier.starts_at, earlier.ends_at) / 3600 as quantity,
        'gpu_hours' as unit
    from known_versions as earlier
    inner join known_versions as later
        on
            earlier.park_id = later.park_id
            and earlier.lease_id = later.lease_id
            and earlier.version < later.version
            and earlier.starts_at > later.starts_at
            and earlier.starts_at < later.ends_at
    inner join {{ ref('stg_park') }} as parks on earlier.park_id = parks.park_id
    group by earlier.park_id, earlier.tranche_id, earlier.lease_id, earlier.version, earlier.starts_at, earlier.ends_at, earlier.gpu_count
),

-- Intervals that fct_power_day leaves out, with their energy.
meter_intervals as (
    select
        meters.*,
        max(meters.interval_end_at) over (
            partition by meters.park_id, meters.meter_id, meters.register
            order by meters.interval_start_at
            rows between unbounded preceding and 1 preceding
        ) as covered_until_at
    from {{ ref('stg_power_meter') }} as meters
    where meters.is_current
),

meter_exceptions as (
    select
        'meter_intervals_overlap' as kind,
        intervals.park_id,
        intervals.meter_id || '/' || intervals.register as lease_id,
        cast(timezone(parks.time_zone, intervals.interval_start_at) as date) as service_date,
        sum(intervals.energy_kwh) as quantity,
        'kwh' as unit
    from meter_intervals as intervals
    inner join {{ ref('stg_park') }} as parks on intervals.park_id = parks.park_id
    where intervals.covered_until_at > intervals.interval_start_at
    group by
        intervals.park_id,
        intervals.meter_id,
        intervals.register,
        cast(timezone(parks.time_zone, intervals.interval_start_at) as date)
),

currency_exceptions as (
    select
        'adjustment_in_other_currency' as kind,
        amounts.park_id,
        leases.tranche_id,
        amounts.lease_id || '/' || amounts.currency_code as lease_id,
        amounts.service_date,
        sum(amounts.amount) as quantity,
        amounts.currency_code as unit
    from {{ ref('int_lease_amounts') }} as amounts
    inner join {{ ref('stg_home') }} as stg_home on {{ known_at('amounts', 'stg_home.clock_at') }}
    inner join {{ ref('int_lease_intervals') }} as leases
        on
            amounts.park_id = leases.park_id
            and leases.known_until_at is null
            and amounts.lease_id = leases.lease_id
            and amounts.version = leases.version
    where amounts.currency_code != leases.currency_code
    group by amounts.park_id, leases.tranche_id, amounts.lease_id, amounts.currency_code, amounts.service_date
),

-- Days of a feed that a blocking rule holds back: what it told of them is in no table.
held_exceptions as (
    select
        'partition_held_back' as kind,
        park_id,
        feed as lease_id,
        service_date,
        max(held_row_count + broken_row_count) as quantity,
        'rows' as unit
    from {{ source('raw', 'held_partition') }}
    group by park_id, feed, service_date
),

-- Capacity that was taken out or brought back without a right to it under the terms of its day: it counts as it happened, and is shown.
withdrawal_exceptions as (
    select
        events.kind || '_without_right' as kind,
        events.park_id,
        tranches.tranche_id,
        events.event_id as lease_id,
        cast(timezone(points.time_zone, events.effective_at) as date) as service_date,
        coalesce(events.gpu_count, tranches.gpu_count) as quantity,
        'gpus' as unit
    from {{ ref('int_knowledge_points') }} as points
    inner join {{ ref('int_terms_in_force') }} as terms
        on points.contract_id = terms.contract_id and points.point_no = terms.point_no and terms.instrument = 'backstop'
    inner join {{ ref('stg_backstop_terms') }} as backstop_terms
        on terms.contract_id = backstop_terms.contract_id and terms.amendment_id = backstop_terms.amendment_id
    inner join {{ ref('stg_tranche') }} as tranches on points.contract_id = tranches.contract_id
    inner join {{ ref('stg_credit_events') }} as events
        on
            points.park_id = events.park_id
            and (tranches.tranche_id = events.tranche_id or (events.tranche_id is null and points.contract_id = events.contract_id))
            and {{ known_at('events', 'points.known_at') }}
            and cast(timezone(points.time_zone, events.effective_at) as date) between terms.from_date and terms.to_date
    where
        points.is_clock
        and (
            (events.kind = 'withdrawal' and not coalesce(backstop_terms.withdrawal_allowed, false))
            or (events.kind = 'recall' and not coalesce(backstop_terms.withdrawal_recall, false))
        )
),

exceptions as (
    select
        kind,
        park_id,
        tranche_id,
        cast(null as varchar) as lease_id,
        service_date,
        quantity,
        'gpu_hours' as unit
    from tranche_exceptions
    where quantity > 0
    union all by name
    select * from lease_exceptions
    union all by name
    select * from park_exceptions
    union all by name
    select * from version_exceptions
    union all by name
    select * from meter_exceptions
    union all by name
    select * from currency_exceptions
    union all by name
    select * from held_exceptions
    union all by name
    select * from withdrawal_exceptions
)

select
    concat_ws(':', kind, park_id, tranche_id, lease_id, cast(service_date as varchar)) as exception_id,
    kind,
    park_id,
    tranche_id,
    lease_id,
    service_date,
    cast(quantity as decimal(28, 9)) as quantity,
    unit
from exceptions
