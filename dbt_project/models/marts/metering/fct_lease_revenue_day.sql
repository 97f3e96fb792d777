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

entries as (
    select
        entries.lease_id,
        entries.version,
        entries.park_id,
        entries.service_date,
        sum(entries.gpu_hours) as metered_gpu_hours,
        sum(entries.amount) filter (where entries.component in (
            {{ billed_kinds() }}, 'credit', 'refund', 'sla_penalty'
        ) and entries.currency_code = leases.currency_code) as adjustment_amount,
        sum(entries.amount) filter (where entries.component = 'bad_debt' and entries.currency_code = leases.currency_code)
            as bad_debt_amount,
        sum(entries.amount) filter (where entries.component = 'cash_collected' and entries.currency_code = leases.currency_code)
            as collected_amount
    from {{ ref('int_lease_entries') }} as entries
    inner join {{ ref('stg_home') }} as stg_home on {{ known_at('entries', 'stg_home.clock_at') }}
    inner join leases
        on
            entries.park_id = leases.park_id
            and entries.lease_id = leases.lease_id
            and entries.version = leases.version
    {{ days_to_build('entries', 'revenue') }}
    group by entries.lease_id, entries.version, entries.park_id, entries.service_date
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
    from entries
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
            when leases.pricing = 'metered' then cast(coalesce(entries.metered_gpu_hours, 0) as decimal(38, 18))
            else coalesce(day_hours.reserved_gpu_hours, 0)
        end as billed_gpu_hours,
        leases.price_per_gpu_hour,
        entries.metered_gpu_hours,
        coalesce(entries.adjustment_amount, 0) as adjustment_amount,
        coalesce(entries.bad_debt_amount, 0) as bad_debt_amount,
        coalesce(entries.collected_amount, 0) as collected_amount
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
    left join entries
        on
            version_days.park_id = entries.park_id
            and version_days.lease_id = entries.lease_id
            and version_days.version = entries.version
            and version_days.service_date = entries.service_date
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
