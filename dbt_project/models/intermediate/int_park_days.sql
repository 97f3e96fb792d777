-- What each park-day of the metering tables follows from, as one number for each kind of fact: each fact adds its own from its first day on and
-- takes it off after its last. Leases that end on another day touch the days between, not those before.
-- depends_on: {{ ref('stg_park') }}
with parks as (
    select
        parks.park_id,
        parks.time_zone,
        stg_home.clock_at,
        cast(timezone(parks.time_zone, stg_home.clock_at) as date) as clock_date
    from {{ ref('stg_park') }} as parks
    cross join {{ ref('stg_home') }} as stg_home
),

tranche_facts as (
    select
        park_id,
        'outages' as part,
        energised_date as from_date,
        cast(null as date) as to_date,
        {{ fact_number(['tranche_id', 'contract_id', 'gpu_count']) }} as number
    from {{ ref('stg_tranche') }}
    where energised_date is not null
),

-- The hours of the clock's own day have not all ended.
clock_facts as (
    select
        park_id,
        unnest(['outages', 'revenue']) as part,
        clock_date as from_date,
        clock_date as to_date,
        {{ fact_number(['clock_at']) }} as number
    from parks
),

telemetry_facts as (
    select distinct
        park_id,
        'outages' as part,
        service_date as from_date,
        service_date as to_date,
        {{ fact_number(['partition_fingerprint']) }} as number
    from {{ ref('int_gpu_hours__by_tranche_hour') }}
),

state_facts as (
    select
        park_id,
        'outages' as part,
        service_date as from_date,
        service_date as to_date,
        {{ fact_number(['tranche_id', 'state_at']) }} as number
    from {{ ref('int_outage_states') }}
),

event_facts as (
    select
        events.park_id,
        'outages' as part,
        cast(timezone(parks.time_zone, events.effective_at) as date) as from_date,
        cast(timezone(parks.time_zone, events.ends_at) as date) as to_date,
        {{ fact_number([
            'events.event_id', 'events.kind', 'events.tranche_id', 'events.contract_id', 'events.gpu_count', 'events.effective_at', 'events.ends_at',
            'events.known_from_at', 'events.known_until_at'
        ]) }} as number
    from {{ ref('stg_credit_events') }} as events
    inner join parks on events.park_id = parks.park_id
    where events.kind in ('maintenance', 'operator_fault', 'power_curtailment', 'delivery', 'force_majeure', 'acceptance_failed')
),

leases as (
    select
        leases.*,
        coalesce(tranches.contract_id, leases.contract_id) as supported_contract_id,
        {{ fact_number(['leases.lease_id', 'leases.version', 'leases.tranche_id', 'leases.gpu_count']) }} as hours_number,
        {{ fact_number([
            'leases.lease_id', 'leases.version', 'leases.tranche_id', 'leases.gpu_count', 'supported_contract_id', 'leases.customer_type',
            'leases.price_per_gpu_hour', 'leases.currency_code', 'leases.pricing', 'leases.is_billing'
        ]) }} as revenue_number,
        cast(timezone(parks.time_zone, leases.holds_from_at) as date) as from_date,
        cast(timezone(parks.time_zone, leases.holds_until_at - interval 1 microsecond) as date) as to_date
    from {{ ref('int_lease_intervals') }} as leases
    inner join parks on leases.park_id = parks.park_id
    left join {{ ref('stg_tranche') }} as tranches on leases.tranche_id = tranches.tranche_id
    where leases.known_until_at is null
),

-- The days that a lease holds, and apart from them the instants at which it begins and ends within its first and last.
lease_facts as (
    {%- for part, number, condition in [('leases', 'hours_number', 'is_billing'), ('revenue', 'revenue_number', 'true')] %}
    select
        park_id,
        '{{ part }}' as part,
        from_date,
        to_date,
        {{ number }} as number
    from leases
    where {{ condition }}
    union all
    select
        park_id,
        '{{ part }}' as part,
        from_date,
        from_date as to_date,
        {{ fact_number([number, 'holds_from_at']) }} as number
    from leases
    where {{ condition }}
    union all
    select
        park_id,
        '{{ part }}' as part,
        to_date as from_date,
        to_date,
        {{ fact_number([number, 'holds_until_at', '1']) }} as number
    from leases
    where {{ condition }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

use_facts as (
    select
        used.park_id,
        'revenue' as part,
        used.service_date as from_date,
        used.service_date as to_date,
        {{ fact_number(['leases.revenue_number', 'used.gpu_hours']) }} as number
    from {{ ref('int_lease_use') }} as used
    inner join {{ ref('stg_home') }} as stg_home on {{ known_at('used', 'stg_home.clock_at') }}
    inner join leases on {{ is_used_under('used', 'leases') }}
),

amount_facts as (
    select
        amounts.park_id,
        'revenue' as part,
        amounts.service_date as from_date,
        amounts.service_date as to_date,
        {{ fact_number(['leases.revenue_number', 'amounts.component', 'amounts.amount', 'amounts.currency_code']) }} as number
    from {{ ref('int_lease_amounts') }} as amounts
    inner join {{ ref('stg_home') }} as stg_home on {{ known_at('amounts', 'stg_home.clock_at') }}
    inner join leases
        on amounts.park_id = leases.park_id and amounts.lease_id = leases.lease_id and amounts.version = leases.version
),

meters as (
    select
        meters.park_id,
        cast(timezone(parks.time_zone, meters.interval_start_at) as date) as service_date,
        {{ fact_number([
            'meters.meter_id', 'meters.register', 'meters.interval_start_at', 'meters.role', 'meters.quality', 'meters.energy_kwh',
            'coalesce(max(meters.interval_end_at) over earlier > meters.interval_start_at, false)'
        ]) }} as number
    from {{ ref('stg_power_meter') }} as meters
    inner join parks on meters.park_id = parks.park_id
    where meters.is_current
    window earlier as (
        partition by meters.park_id, meters.meter_id, meters.register
        order by meters.interval_start_at
        rows between unbounded preceding and 1 preceding
    )
),

meter_facts as (
    select
        park_id,
        'meters' as part,
        service_date as from_date,
        service_date as to_date,
        sum(number) as number
    from meters
    group by park_id, service_date
),

-- What is used without a lease is an exception where it has been for sale.
sale_facts as (
    select
        tranches.park_id,
        'sale' as part,
        tranches.energised_date as from_date,
        cast(null as date) as to_date,
        {{ fact_number(['tranches.tranche_id']) }} as number
    from {{ ref('stg_tranche') }} as tranches
    where
        tranches.energised_date is not null
        and (tranches.contract_id is not null or tranches.tranche_id in (select leases.tranche_id from {{ ref('stg_leases') }} as leases))
),

facts as (
    {%- for kind in ['tranche', 'clock', 'telemetry', 'state', 'event', 'lease', 'use', 'amount', 'meter', 'sale'] %}
    select * from {{ kind }}_facts
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

changes as (
    select
        park_id,
        part,
        from_date as service_date,
        number
    from facts
    union all
    select
        facts.park_id,
        facts.part,
        facts.to_date + 1 as service_date,
        -facts.number as number
    from facts
    where facts.to_date is not null
),

-- A lease may run, and an adjustment lie, beyond the clock: of the days to come only those on which something changes have a row.
days as (
    select
        first_days.park_id,
        cast(unnest(generate_series(first_days.service_date, parks.clock_date, interval 1 day)) as date) as service_date
    from (
        select
            park_id,
            min(service_date) as service_date
        from changes
        group by park_id
    ) as first_days
    inner join parks on first_days.park_id = parks.park_id
    union
    select
        park_id,
        service_date
    from changes
),

changes_by_day as (
    select
        park_id,
        service_date,
        {% for part in ['outages', 'leases', 'meters', 'revenue', 'sale'] -%}
        sum(number) filter (where part = '{{ part }}') as {{ part }}{{ ',' if not loop.last }}
        {% endfor %}
    from changes
    group by park_id, service_date
),

numbers as (
    select
        days.park_id,
        days.service_date,
        {% for part in ['outages', 'leases', 'meters', 'revenue', 'sale'] -%}
        coalesce(sum(changes.{{ part }}) over up_to_day, 0) as {{ part }}{{ ',' if not loop.last }}
        {% endfor %}
    from days
    left join changes_by_day as changes on days.park_id = changes.park_id and days.service_date = changes.service_date
    window up_to_day as (partition by days.park_id order by days.service_date)
)

select
    numbers.park_id,
    numbers.service_date,
    {% for fingerprint, parts in {
        'outages': ['numbers.outages'],
        'capacity': ['numbers.outages', 'numbers.leases'],
        'power': ['numbers.outages', 'numbers.meters'],
        'revenue': ['numbers.revenue'],
        'contradictions': ['numbers.outages', 'numbers.leases', 'numbers.sale']
    }.items() -%}
    -- A day ahead of the clock is built again once the clock has come to it.
    md5(concat_ws(
        '|', '{{ metering_code() }}', parks.time_zone, {{ parts | join(', ') }},
        case when numbers.service_date > parks.clock_date then 'ahead' end
    ))
        as {{ fingerprint }}_fingerprint{{ ',' if not loop.last }}
    {% endfor %}
from numbers
inner join parks on numbers.park_id = parks.park_id
