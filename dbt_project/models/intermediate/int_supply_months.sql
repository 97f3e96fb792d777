-- Capacity of a contract's tranches and what was leased of it, month by month as known at each point. GPU-hours, DECIMAL(38, 18).
-- Whatever changes what is known of a day counts once, at the first point that sees it; a point is the sum of all such changes up to it.
with months as (
    select
        points.contract_id,
        points.point_no,
        points.known_at,
        points.time_zone,
        cast(unnest(generate_series(
            date_trunc('month', contracts.service_commencement_date), points.posting_month, interval 1 month
        )) as date) as service_month
    from {{ ref('int_knowledge_points') }} as points
    inner join {{ ref('stg_contract') }} as contracts on points.contract_id = contracts.contract_id
),

-- Points know more and more, and see the months up to their own.
first_sights as (
    select
        contract_id,
        service_month,
        timezone(time_zone, cast(service_month as timestamp)) as from_at,
        timezone(time_zone, cast(last_day(service_month) + 1 as timestamp)) as to_at,
        min(point_no) as point_no,
        min(known_at) as known_at
    from months
    group by contract_id, service_month, time_zone
),

-- What a state of a tranche's day and a version of a lease hold of a month, from when it is known so until it is known otherwise.
day_states as (
    select
        tranches.contract_id,
        cast(date_trunc('month', states.service_date) as date) as service_month,
        states.known_from_at,
        states.known_until_at,
        outages.installed,
        outages.installed - outages.maintenance - outages.fault - outages.no_sample as available,
        outages.busy_milli_pct_seconds
    from {{ ref('stg_tranche') }} as tranches
    inner join {{ ref('int_outage_states') }} as states on tranches.tranche_id = states.tranche_id
    inner join {{ ref('int_outages__by_tranche_day') }} as outages
        on
            states.tranche_id = outages.tranche_id
            and states.service_date = outages.service_date
            and states.state_at = outages.state_at
),

leased_months as (
    select
        first_sights.contract_id,
        first_sights.service_month,
        leases.known_from_at,
        leases.known_until_at,
        {{ gpu_microseconds_of_overlap(
            'leases.gpu_count', 'first_sights.from_at', 'first_sights.to_at', 'leases.holds_from_at', 'leases.holds_until_at'
        ) }} as leased
    from {{ ref('int_lease_intervals') }} as leases
    inner join {{ ref('stg_tranche') }} as tranches on leases.park_id = tranches.park_id and leases.tranche_id = tranches.tranche_id
    inner join first_sights
        on
            tranches.contract_id = first_sights.contract_id
            and first_sights.from_at < leases.holds_until_at
            and first_sights.to_at > leases.holds_from_at
    where leases.is_billing
),

held as (
    select * from day_states
    union all by name
    select * from leased_months
),

changes as (
    select
        * exclude (known_from_at, known_until_at),
        known_from_at as changed_at
    from held
    union all by name
    select
        contract_id,
        service_month,
        known_until_at as changed_at,
        {% for column in ['installed', 'available', 'busy_milli_pct_seconds', 'leased'] -%}
        -{{ column }} as {{ column }}{{ ',' if not loop.last }}
        {% endfor %}
    from held
    where known_until_at is not null
),

seen_changes as (
    select
        changes.contract_id,
        changes.service_month,
        first_sights.point_no as first_point_no,
        greatest(changes.changed_at, first_sights.known_at) as seen_from_at,
        {% for column in ['installed', 'available', 'busy_milli_pct_seconds', 'leased'] -%}
        sum(changes.{{ column }}) as {{ column }}{{ ',' if not loop.last }}
        {% endfor %}
    from changes
    inner join first_sights on changes.contract_id = first_sights.contract_id and changes.service_month = first_sights.service_month
    group by
        changes.contract_id,
        changes.service_month,
        first_sights.point_no,
        greatest(changes.changed_at, first_sights.known_at)
),

changes_by_point as (
    select
        seen_changes.contract_id,
        seen_changes.service_month,
        greatest(instants.point_no, seen_changes.first_point_no) as point_no,
        {% for column in ['installed', 'available', 'busy_milli_pct_seconds', 'leased'] -%}
        sum(seen_changes.{{ column }}) as {{ column }}{{ ',' if not loop.last }}
        {% endfor %}
    from seen_changes
    asof join {{ first_points(ref('int_knowledge_points')) }} as instants
        on seen_changes.contract_id = instants.contract_id and seen_changes.seen_from_at <= instants.known_at
    group by seen_changes.contract_id, seen_changes.service_month, greatest(instants.point_no, seen_changes.first_point_no)
),

accumulated as (
    select
        contract_id,
        service_month,
        point_no,
        {% for column in ['installed', 'available', 'busy_milli_pct_seconds', 'leased'] -%}
        cast(sum({{ column }}) over up_to_point as hugeint) as {{ column }}{{ ',' if not loop.last }}
        {% endfor %}
    from changes_by_point
    window up_to_point as (partition by contract_id, service_month order by point_no)
),

-- Divided where they change, not once more at each point.
stands as (
    select
        contract_id,
        service_month,
        point_no,
        main.whole_quotient(installed, 3600000000) as installed_gpu_hours,
        main.whole_quotient(available, 3600000000) as available_gpu_hours,
        -- Busy time is measured in 1e-5 second.
        main.whole_quotient(busy_milli_pct_seconds, 360000000) as busy_gpu_hours,
        main.whole_quotient(leased, 3600000000) as leased_gpu_hours
    from accumulated
)

select
    months.contract_id,
    months.point_no,
    months.service_month,
    {% for column in ['installed_gpu_hours', 'available_gpu_hours', 'busy_gpu_hours', 'leased_gpu_hours'] -%}
    coalesce(stands.{{ column }}, 0) as {{ column }}{{ ',' if not loop.last }}
    {% endfor %}
from months
asof left join stands
    on months.contract_id = stands.contract_id and months.service_month = stands.service_month and months.point_no >= stands.point_no
