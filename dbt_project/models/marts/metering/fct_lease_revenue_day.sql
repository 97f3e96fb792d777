{{ config(
    materialized='incremental',
    incremental_strategy='park_days',
    follows='revenue',
    on_schema_change='append_new_columns',
    post_hook="{{ keep_fingerprints('revenue') }}"
) }}

with leases as (
    select
        leases.*,
        parks.time_zone,
        coalesce(tranches.contract_id, leases.contract_id) as supported_contract_id
    from {{ ref('int_lease_intervals') }} as leases
    inner join {{ ref('stg_park') }} as parks on leases.park_id = parks.park_id
    left join {{ ref('stg_tranche') }} as tranches on leases.tranche_id = tranches.tranche_id
    where leases.known_until_at is null
),

lease_days as (
    select
        leases.*,
        stg_home.clock_at,
        cast(unnest(generate_series(
            cast(timezone(leases.time_zone, leases.holds_from_at) as date),
            cast(timezone(leases.time_zone, least(leases.holds_until_at, stg_home.clock_at) - interval 1 microsecond) as date),
            interval 1 day
        )) as date) as service_date
    from leases
    cross join {{ ref('stg_home') }} as stg_home
    where leases.is_billing
),

day_hours as (
    select
        lease_days.*,
        {{ gpu_hours_of_overlap(
            'gpu_count',
            'timezone(time_zone, cast(service_date as timestamp))',
            'least(timezone(time_zone, cast(service_date + 1 as timestamp)), clock_at)',
            'holds_from_at',
            'holds_until_at'
        ) }} as reserved_gpu_hours
    from lease_days
    {{ days_to_build('lease_days', 'revenue') }}
),

known_use as (
    select used.*
    from {{ ref('int_lease_use') }} as used
    inner join {{ ref('stg_home') }} as stg_home on {{ known_at('used', 'stg_home.clock_at') }}
    {{ days_to_build('used', 'revenue') }}
),

entries as (
    select
        leases.park_id,
        leases.lease_id,
        leases.version,
        used.service_date,
        'metered_use' as component,
        used.gpu_hours,
        cast(null as decimal(18, 2)) as amount
    from known_use as used
    inner join leases on {{ is_used_under('used', 'leases') }}
    union all
    -- Amounts in another currency than the lease's are exceptions.
    select
        amounts.park_id,
        amounts.lease_id,
        amounts.version,
        amounts.service_date,
        amounts.component,
        cast(null as decimal(18, 6)) as gpu_hours,
        case when amounts.currency_code = leases.currency_code then amounts.amount end as amount
    from {{ ref('int_lease_amounts') }} as amounts
    inner join {{ ref('stg_home') }} as stg_home on {{ known_at('amounts', 'stg_home.clock_at') }}
    inner join leases
        on
            amounts.park_id = leases.park_id
            and amounts.lease_id = leases.lease_id
            and amounts.version = leases.version
    {{ days_to_build('amounts', 'revenue') }}
),

day_entries as (
    select
        park_id,
        lease_id,
        version,
        service_date,
        sum(gpu_hours) as metered_gpu_hours,
        sum(amount) filter (where component in ({{ billed_kinds() }}, 'credit', 'refund', 'sla_penalty')) as adjustment_amount,
        sum(amount) filter (where component = 'bad_debt') as bad_debt_amount,
        sum(amount) filter (where component = 'cash_collected') as collected_amount
    from entries
    group by park_id, lease_id, version, service_date
),

version_days as (
    select
        park_id,
        lease_id,
        version,
        service_date
    from day_hours
    union
    select
        park_id,
        lease_id,
        version,
        service_date
    from day_entries
),

amounts as (
    select
        version_days.park_id,
        version_days.lease_id,
        version_days.version,
        version_days.service_date,
        leases.supported_contract_id as contract_id,
        leases.tranche_id,
        leases.customer_type,
        leases.currency_code,
        case
            when not leases.is_billing then 0
            -- Both branches with 18 decimals: DuckDB would cut the mixture to six.
            when leases.pricing = 'metered' then cast(coalesce(day_entries.metered_gpu_hours, 0) as decimal(38, 18))
            else coalesce(day_hours.reserved_gpu_hours, 0)
        end as billed_gpu_hours,
        leases.price_per_gpu_hour,
        day_entries.metered_gpu_hours,
        coalesce(day_entries.adjustment_amount, 0) as adjustment_amount,
        coalesce(day_entries.bad_debt_amount, 0) as bad_debt_amount,
        coalesce(day_entries.collected_amount, 0) as collected_amount
    from version_days
    inner join leases
        on
            version_days.park_id = leases.park_id
            and version_days.lease_id = leases.lease_id
            and version_days.version = leases.version
    left join day_hours
        on
            version_days.park_id = day_hours.park_id
            and version_days.lease_id = day_hours.lease_id
            and version_days.version = day_hours.version
            and version_days.service_date = day_hours.service_date
    left join day_entries
        on
            version_days.park_id = day_entries.park_id
            and version_days.lease_id = day_entries.lease_id
            and version_days.version = day_entries.version
            and version_days.service_date = day_entries.service_date
)

-- Where a version ends within a day, the day carries the attributes of the last one.
select
    lease_id,
    service_date,
    arg_max(park_id, version) as park_id,
    arg_max(contract_id, version) as contract_id,
    arg_max(tranche_id, version) as tranche_id,
    arg_max(customer_type, version) as customer_type,
    cast(sum(billed_gpu_hours) as decimal(28, 9)) as billed_gpu_hours,
    cast(sum(metered_gpu_hours) as decimal(28, 9)) as metered_gpu_hours,
    main.settled(sum(main.exact_product(billed_gpu_hours, price_per_gpu_hour))) as gross_billed_amount,
    main.settled(sum(adjustment_amount)) as adjustment_amount,
    main.settled(sum(main.exact_product(billed_gpu_hours, price_per_gpu_hour)) + sum(adjustment_amount)) as net_billed_amount,
    main.settled(sum(bad_debt_amount)) as bad_debt_amount,
    main.settled(sum(collected_amount)) as collected_amount,
    arg_max(currency_code, version) as currency_code
from amounts
group by lease_id, service_date
