{{ config(
    materialized='incremental',
    incremental_strategy='park_days',
    follows='capacity',
    on_schema_change='append_new_columns',
    post_hook="{{ keep_fingerprints('capacity') }}"
) }}

with clock_states as (
    select
        tranche_id,
        service_date,
        state_at
    from {{ ref('int_outage_states') }}
    where known_until_at is null
),

hours as (
    select outages.*
    from {{ ref('int_outages__by_tranche_hour') }} as outages
    inner join clock_states
        on
            outages.tranche_id = clock_states.tranche_id
            and outages.service_date = clock_states.service_date
            and outages.state_at = clock_states.state_at
    {{ days_to_build('outages', 'capacity') }}
),

clock_leases as (
    select *
    from {{ ref('int_lease_intervals') }}
    where known_until_at is null and is_billing
),

-- Whole hours of a lease are found by their number; leases start and end within an hour at most twice.
leased as (
    select
        hours.tranche_id,
        hours.interval_start_at,
        cast(sum({{ gpu_microseconds_of_overlap(
            'clock_leases.gpu_count', 'hours.interval_start_at', "hours.interval_start_at + interval 1 hour",
            'clock_leases.holds_from_at', 'clock_leases.holds_until_at'
        ) }}) as hugeint) as leased
    from hours
    inner join clock_leases
        on
            hours.tranche_id = clock_leases.tranche_id
            and hours.interval_start_at < clock_leases.holds_until_at
            and hours.interval_start_at + interval 1 hour > clock_leases.holds_from_at
    group by hours.tranche_id, hours.interval_start_at
)

select
    hours.tranche_id,
    hours.interval_start_at,
    hours.park_id,
    hours.service_date,
    {{ as_hours('hours.installed') }} as installed_gpu_hours,
    {{ as_hours('hours.no_sample') }} as no_sample_gpu_hours,
    {{ as_hours('hours.fault') }} as fault_gpu_hours,
    {{ as_hours('hours.maintenance') }} as maintenance_gpu_hours,
    {{ as_hours('least(hours.installed, hours.declared_curtailment)') }} as curtailment_gpu_hours,
    cast({{ as_hours('hours.installed') }} - {{ as_hours('hours.no_sample') }} - {{ as_hours('hours.fault') }}
    - {{ as_hours('hours.maintenance') }} as decimal(28, 9)) as available_gpu_hours,
    {{ as_hours('coalesce(leased.leased, 0)') }} as leased_gpu_hours,
    {{ as_hours('hours.busy_milli_pct_seconds * 10') }} as busy_gpu_hours,
    cast(main.whole_quotient(hours.energy_microjoule, 3600000000000) as decimal(28, 9)) as it_energy_kwh,
    -- Both sides are whole microseconds, so one quotient does: the long division of exact_ratio costs a thousand times as much a row.
    cast(
        least(1, main.whole_quotient(hours.observed_gpu_milliseconds * 1000, nullif(hours.installed, 0))) as decimal(18, 9)
    ) as coverage_fraction
from hours
left join leased on hours.tranche_id = leased.tranche_id and hours.interval_start_at = leased.interval_start_at
