-- Capacity of a contract's tranches and what was leased of it, month by month as known at each point. GPU-hours, DECIMAL(38, 18).
with months as (
    select
        points.contract_id,
        points.point_no,
        points.park_id,
        points.known_at,
        points.time_zone,
        cast(unnest(generate_series(
            date_trunc('month', contracts.service_commencement_date), points.posting_month, interval 1 month
        )) as date) as service_month
    from {{ ref('int_knowledge_points') }} as points
    inner join {{ ref('stg_contract') }} as contracts on points.contract_id = contracts.contract_id
),

supply as (
    select
        points.contract_id,
        points.point_no,
        cast(date_trunc('month', states.service_date) as date) as service_month,
        cast(sum(outages.installed) as hugeint) as installed,
        cast(sum(outages.installed - outages.maintenance - outages.fault - outages.no_sample) as hugeint) as available,
        cast(sum(outages.busy_milli_pct_seconds) as hugeint) as busy_milli_pct_seconds
    from {{ ref('int_knowledge_points') }} as points
    inner join {{ ref('stg_tranche') }} as tranches on points.contract_id = tranches.contract_id
    inner join {{ ref('int_outage_states') }} as states
        on
            tranches.tranche_id = states.tranche_id
            and points.known_at = states.known_at
            and points.month_end_date >= states.service_date
    inner join {{ ref('int_outages__by_tranche_day') }} as outages
        on
            states.tranche_id = outages.tranche_id
            and states.service_date = outages.service_date
            and states.state_at = outages.state_at
    group by points.contract_id, points.point_no, cast(date_trunc('month', states.service_date) as date)
),

month_instants as (
    select
        *,
        timezone(time_zone, cast(service_month as timestamp)) as from_at,
        timezone(time_zone, cast(last_day(service_month) + 1 as timestamp)) as to_at
    from months
),

leased as (
    select
        months.contract_id,
        months.point_no,
        months.service_month,
        cast(sum({{ gpu_microseconds_of_overlap(
            'leases.gpu_count', 'months.from_at', 'months.to_at', 'leases.holds_from_at', 'leases.holds_until_at'
        ) }}) as hugeint) as leased
    from month_instants as months
    inner join {{ ref('int_lease_intervals') }} as leases
        on
            months.park_id = leases.park_id
            and months.known_at = leases.known_at
            and months.from_at < leases.holds_until_at
            and months.to_at > leases.holds_from_at
    inner join {{ ref('stg_tranche') }} as tranches
        on leases.tranche_id = tranches.tranche_id and months.contract_id = tranches.contract_id
    where leases.is_billing
    group by months.contract_id, months.point_no, months.service_month
)

select
    months.contract_id,
    months.point_no,
    months.service_month,
    main.exact_quotient(coalesce(supply.installed, 0), 3600000000) as installed_gpu_hours,
    main.exact_quotient(coalesce(supply.available, 0), 3600000000) as available_gpu_hours,
    -- Busy time is measured in 1e-5 second.
    main.exact_quotient(coalesce(supply.busy_milli_pct_seconds, 0), 360000000) as busy_gpu_hours,
    main.exact_quotient(coalesce(leased.leased, 0), 3600000000) as leased_gpu_hours
from months
left join supply
    on months.contract_id = supply.contract_id and months.point_no = supply.point_no and months.service_month = supply.service_month
left join leased
    on months.contract_id = leased.contract_id and months.point_no = leased.point_no and months.service_month = leased.service_month
