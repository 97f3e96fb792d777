{{ config(
    materialized='incremental',
    incremental_strategy='park_days',
    follows='power',
    on_schema_change='append_new_columns',
    post_hook="{{ keep_fingerprints('power') }}"
) }}

-- An interval that begins before an earlier one of its register has ended would count the same energy twice: it is left out here and is an
-- exception. Decided over all files, so that the split of rows over files changes nothing.
with current_intervals as (
    select
        *,
        max(interval_end_at) over (
            partition by park_id, meter_id, register
            order by interval_start_at
            rows between unbounded preceding and 1 preceding
        ) as covered_until_at
    from {{ ref('stg_power_meter') }}
    where is_current
),

meters as (
    select
        meters.park_id,
        cast(timezone(parks.time_zone, meters.interval_start_at) as date) as service_date,
        meters.role,
        meters.quality,
        meters.energy_kwh
    from current_intervals as meters
    inner join {{ ref('stg_park') }} as parks on meters.park_id = parks.park_id
    where meters.covered_until_at is null or meters.covered_until_at <= meters.interval_start_at
),

metered_days as (
    select
        park_id,
        service_date,
        sum(energy_kwh) filter (where role = 'facility') as facility_energy_kwh,
        sum(energy_kwh) filter (where role = 'it') as metered_it_energy_kwh,
        sum(energy_kwh) filter (where role = 'generation') as generation_energy_kwh,
        sum(energy_kwh) as all_energy_kwh,
        coalesce(sum(energy_kwh) filter (where quality != 'actual'), 0) as estimated_energy_kwh
    from meters
    group by park_id, service_date
),

telemetry_days as (
    select
        park_id,
        service_date,
        sum(it_energy_kwh) as telemetry_it_energy_kwh
    from {{ ref('fct_capacity_day') }}
    group by park_id, service_date
)

select
    metered_days.park_id,
    metered_days.service_date,
    cast(metered_days.facility_energy_kwh as decimal(28, 9)) as facility_energy_kwh,
    cast(coalesce(metered_days.metered_it_energy_kwh, telemetry_days.telemetry_it_energy_kwh) as decimal(28, 9)) as it_energy_kwh,
    case when metered_days.metered_it_energy_kwh is not null then 'meter' when telemetry_days.park_id is not null then 'telemetry' end
        as it_energy_source,
    cast(telemetry_days.telemetry_it_energy_kwh as decimal(28, 9)) as telemetry_it_energy_kwh,
    cast(metered_days.generation_energy_kwh as decimal(28, 9)) as generation_energy_kwh,
    {{ fraction_of(
        'metered_days.facility_energy_kwh', 'coalesce(metered_days.metered_it_energy_kwh, telemetry_days.telemetry_it_energy_kwh)'
    ) }} as pue,
    {{ fraction_of('metered_days.estimated_energy_kwh', 'metered_days.all_energy_kwh') }} as estimated_energy_fraction
from metered_days
{{ days_to_build('metered_days', 'power') }}
left join telemetry_days
    on metered_days.park_id = telemetry_days.park_id and metered_days.service_date = telemetry_days.service_date
