{{ config(
    materialized='incremental',
    incremental_strategy='park_days',
    follows='outages',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_fingerprints('outages') }}"
) }}

-- Hours out of supply by cause, in GPU-microseconds (whole numbers), once for each state of knowledge of a tranche's day.
with states as (
    select
        tranche_id,
        park_id,
        service_date,
        state_at
    from {{ ref('int_outage_states') }} as states
    {{ days_to_build('states', 'outages') }}
),

-- The hours of the park's clock that have ended; a service day has 23, 24 or 25 of them.
hours as (
    select
        states.*,
        parks.time_zone,
        tranches.contract_id,
        tranches.gpu_count,
        unnest(generate_series(
            timezone(parks.time_zone, cast(states.service_date as timestamp)),
            least(timezone(parks.time_zone, cast(states.service_date + 1 as timestamp)), stg_home.clock_at) - interval 1 hour,
            interval 1 hour
        )) as interval_start_at
    from states
    inner join {{ ref('stg_park') }} as parks on states.park_id = parks.park_id
    inner join {{ ref('stg_tranche') }} as tranches on states.tranche_id = tranches.tranche_id
    cross join {{ ref('stg_home') }} as stg_home
),

telemetry_states as (
    select
        states.tranche_id,
        states.service_date,
        states.state_at,
        max(telemetry.known_from_at) as known_from_at
    from states
    inner join (
        select distinct
            park_id,
            service_date,
            known_from_at
        from {{ ref('int_gpu_hours__by_tranche_hour') }}
    ) as telemetry
        on
            states.park_id = telemetry.park_id
            and states.service_date = telemetry.service_date
            and states.state_at >= telemetry.known_from_at
    group by states.tranche_id, states.service_date, states.state_at
),

measured as (
    select
        telemetry_states.tranche_id,
        telemetry_states.state_at,
        telemetry.interval_start_at,
        telemetry.sampled_milli_gpus,
        telemetry.fatal_milli_gpus,
        telemetry.observed_gpu_milliseconds,
        telemetry.busy_milli_pct_seconds,
        telemetry.energy_microjoule
    from telemetry_states
    inner join {{ ref('int_gpu_hours__by_tranche_hour') }} as telemetry
        on
            telemetry_states.tranche_id = telemetry.tranche_id
            and telemetry_states.service_date = telemetry.service_date
            and telemetry_states.known_from_at = telemetry.known_from_at
),

declared_events as (
    select
        events.kind,
        tranches.tranche_id,
        events.effective_at,
        coalesce(events.ends_at, timestamptz '9999-12-31 00:00:00+00') as ends_at,
        least(coalesce(events.gpu_count, tranches.gpu_count), tranches.gpu_count) as gpu_count,
        events.known_from_at,
        events.known_until_at
    from {{ ref('stg_credit_events') }} as events
    inner join {{ ref('stg_tranche') }} as tranches
        on
            events.park_id = tranches.park_id
            and (events.tranche_id = tranches.tranche_id or (events.tranche_id is null and events.contract_id = tranches.contract_id))
    where events.kind in ('maintenance', 'operator_fault', 'power_curtailment', 'delivery', 'force_majeure', 'acceptance_failed')
),

declared as (
    select
        hours.tranche_id,
        hours.state_at,
        hours.interval_start_at,
        {% for kind in ['maintenance', 'operator_fault', 'power_curtailment', 'delivery', 'force_majeure', 'acceptance_failed'] -%}
        coalesce(sum({{ gpu_microseconds_of_overlap(
            'declared_events.gpu_count', 'hours.interval_start_at', "hours.interval_start_at + interval 1 hour",
            'declared_events.effective_at', 'declared_events.ends_at'
        ) }}) filter (where declared_events.kind = '{{ kind }}'), 0) as declared_{{ kind }}{{ ',' if not loop.last }}
        {% endfor %}
    from hours
    inner join declared_events
        on
            hours.tranche_id = declared_events.tranche_id
            and hours.interval_start_at < declared_events.ends_at
            and hours.interval_start_at + interval 1 hour > declared_events.effective_at
            and {{ known_at('declared_events', 'hours.state_at') }}
    group by hours.tranche_id, hours.state_at, hours.interval_start_at
),

together as (
    select
        hours.tranche_id,
        hours.park_id,
        hours.service_date,
        hours.state_at,
        hours.interval_start_at,
        cast(hours.gpu_count as hugeint) * 3600000000 as installed,
        coalesce(declared.declared_maintenance, 0) as declared_maintenance,
        coalesce(declared.declared_operator_fault, 0) as declared_fault,
        coalesce(declared.declared_power_curtailment, 0) as declared_curtailment,
        coalesce(declared.declared_delivery, 0) as declared_delivery,
        coalesce(declared.declared_force_majeure, 0) as declared_force_majeure,
        coalesce(declared.declared_acceptance_failed, 0) as declared_acceptance_failed,
        coalesce(measured.fatal_milli_gpus, 0) * 3600000 as fatal,
        greatest(0, cast(hours.gpu_count as hugeint) * 3600000000 - coalesce(measured.sampled_milli_gpus, 0) * 3600000) as unsampled,
        coalesce(measured.observed_gpu_milliseconds, 0) as observed_gpu_milliseconds,
        coalesce(measured.busy_milli_pct_seconds, 0) as busy_milli_pct_seconds,
        coalesce(measured.energy_microjoule, 0) as energy_microjoule
    from hours
    left join measured
        on
            hours.tranche_id = measured.tranche_id
            and hours.state_at = measured.state_at
            and hours.interval_start_at = measured.interval_start_at
    left join declared
        on
            hours.tranche_id = declared.tranche_id
            and hours.state_at = declared.state_at
            and hours.interval_start_at = declared.interval_start_at
),

-- What events declare explains failed GPUs first and silent ones after; the rest of both is the operator's.
explained as (
    select
        *,
        least(installed, declared_maintenance + declared_fault) as declared_in_supply,
        least(
            installed,
            declared_maintenance + declared_fault + declared_curtailment + declared_delivery + declared_force_majeure
            + declared_acceptance_failed
        ) as declared_all
    from together
)

select
    tranche_id,
    park_id,
    service_date,
    state_at,
    interval_start_at,
    installed,
    declared_maintenance,
    declared_fault,
    declared_curtailment,
    declared_delivery,
    declared_force_majeure,
    declared_acceptance_failed,
    greatest(0, fatal - declared_all) as undeclared_fault,
    greatest(0, unsampled - greatest(0, declared_all - fatal)) as undeclared_no_sample,
    -- The three columns of the capacity table exclude each other: maintenance, then faults, then silence.
    least(installed, declared_maintenance) as maintenance,
    declared_in_supply - least(installed, declared_maintenance)
    + least(installed - declared_in_supply, greatest(0, fatal - declared_in_supply)) as fault,
    least(
        installed - declared_in_supply - least(installed - declared_in_supply, greatest(0, fatal - declared_in_supply)),
        greatest(0, unsampled - greatest(0, declared_in_supply - fatal))
    ) as no_sample,
    observed_gpu_milliseconds,
    busy_milli_pct_seconds,
    energy_microjoule
from explained
