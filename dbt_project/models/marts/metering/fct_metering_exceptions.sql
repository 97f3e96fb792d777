-- GPUs under no contract and never leased are their owner's own: using them is no exception.
with sold as (
    select tranche_id
    from {{ ref('stg_tranche') }}
    where contract_id is not null
    union
    select tranche_id
    from {{ ref('stg_leases') }}
),

hour_exceptions as (
    select
        hours.tranche_id,
        hours.park_id,
        hours.service_date,
        sum(greatest(0, hours.busy_gpu_hours - hours.leased_gpu_hours)) filter (where sold.tranche_id is not null) as busy_without_lease,
        sum(greatest(0, hours.leased_gpu_hours - (hours.installed_gpu_hours - hours.no_sample_gpu_hours))) as leased_without_telemetry,
        sum(greatest(0, hours.leased_gpu_hours - hours.installed_gpu_hours)) as over_leased
    from {{ ref('fct_capacity_hour') }} as hours
    left join sold on hours.tranche_id = sold.tranche_id
    group by hours.tranche_id, hours.park_id, hours.service_date
),

tranche_exceptions as (
    unpivot hour_exceptions
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

currency_exceptions as (
    select
        'adjustment_in_other_currency' as kind,
        entries.park_id,
        leases.tranche_id,
        entries.lease_id || '/' || entries.currency_code as lease_id,
        entries.service_date,
        sum(entries.amount) as quantity,
        entries.currency_code as unit
    from {{ ref('int_lease_entries') }} as entries
    inner join {{ ref('stg_home') }} as stg_home on entries.known_at = stg_home.clock_at
    inner join {{ ref('int_lease_intervals') }} as leases
        on
            entries.park_id = leases.park_id
            and entries.known_at = leases.known_at
            and entries.lease_id = leases.lease_id
            and entries.version = leases.version
    where entries.component != 'metered_use' and entries.currency_code != leases.currency_code
    group by entries.park_id, leases.tranche_id, entries.lease_id, entries.currency_code, entries.service_date
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
    select * from currency_exceptions
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
