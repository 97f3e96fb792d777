{{ config(
    materialized='incremental',
    incremental_strategy='known_points',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_points() }}"
) }}

-- What each eligible lease version puts into the base on each slice, by component and in its own currency, as known at each point that knows
-- otherwise of the month than the one before.
{% set is_eligible -%}
        (
            facts.customer_type = 'third_party'
            or (facts.customer_type = 'related' and slices.customer_scope in ('incl_related', 'incl_vendor_own_use'))
            or (facts.customer_type = 'vendor_own_use' and slices.customer_scope = 'incl_vendor_own_use')
        )
{%- endset %}
{% set of_lease -%}
leases.park_id,
        leases.supported_contract_id,
        leases.customer_type,
        leases.lease_id,
        leases.version,
        leases.price_per_gpu_hour,
        leases.currency_code
{%- endset %}
with leases as (
    select
        leases.*,
        -- A lease supports the contract of its tranche; one without a tranche names its contract itself.
        coalesce(tranches.contract_id, leases.contract_id) as supported_contract_id
    from {{ ref('int_lease_intervals') }} as leases
    left join {{ ref('stg_tranche') }} as tranches on leases.tranche_id = tranches.tranche_id
),

known_slices as (
    select slices.*
    from {{ ref('int_share_slices') }} as slices
    {{ points_to_build('slices') }}
),

-- Where the share is of the whole site, each lease of the park supports the contract; where it is of all cloud, each lease of each park of the
-- operator, on the days of that park's own clock. A lease of another park bears that park's name.
slices as (
    select
        slices.*,
        case when slices.base_scope = 'whole_site' then null else slices.contract_id end as only_contract_id,
        '' as other_park_prefix
    from known_slices as slices
    where coalesce(slices.base_scope, '') != 'all_cloud'
    union all by name
    select
        slices.* exclude (park_id, from_at, to_at),
        parks.park_id,
        timezone(parks.time_zone, cast(slices.from_date as timestamp)) as from_at,
        timezone(parks.time_zone, cast(slices.to_date + 1 as timestamp)) as to_at,
        cast(null as varchar) as only_contract_id,
        case when parks.park_id = slices.park_id then '' else parks.park_id || '/' end as other_park_prefix
    from known_slices as slices
    inner join {{ ref('stg_contract') }} as contracts on slices.contract_id = contracts.contract_id
    inner join {{ ref('stg_park') }} as parks on contracts.operator_id = parks.operator_id
    where slices.base_scope = 'all_cloud'
),

-- What running the contract's capacity cost, by the operator's statements: those of the month, or until they come those of the last month that is
-- told; over the days of the slice.
cost_months as (
    select
        contract_id,
        service_month,
        known_from_at,
        known_until_at,
        amount
    from {{ ref('int_contract_facts') }}
    where item = 'operating_cost'
),

operating_costs as (
    select
        slices.contract_id,
        slices.point_no,
        slices.share_id,
        slices.service_month,
        slices.segment_no,
        slices.date_tier_no,
        slices.from_date,
        any_value(slices.currency_code) as currency_code,
        main.exact_quotient(
            cast(sum(costs.amount) as decimal(38, 18)) * (any_value(slices.to_date) - slices.from_date + 1),
            day(last_day(slices.service_month))
        ) as cost_amount
    from known_slices as slices
    inner join cost_months as costs
        on
            slices.contract_id = costs.contract_id
            and slices.service_month >= costs.service_month
            and {{ known_at('costs', 'slices.known_at') }}
    where slices.base_measure = 'ebitda'
    group by
        slices.contract_id,
        slices.point_no,
        slices.share_id,
        slices.service_month,
        slices.segment_no,
        slices.date_tier_no,
        slices.from_date,
        costs.service_month
    qualify row_number() over (
        partition by slices.contract_id, slices.point_no, slices.share_id, slices.service_month, slices.segment_no, slices.from_date
        order by costs.service_month desc
    ) = 1
),

-- Of use and amounts those in the months of the slices alone; use is picked out before its leases are looked up.
sliced_months as (
    select distinct
        park_id,
        service_month
    from slices
),

use_of_months as materialized (
    select used.*
    from {{ ref('int_lease_use') }} as used
    semi join sliced_months on used.park_id = sliced_months.park_id and used.service_month = sliced_months.service_month
),

entries as (
    select
        {{ of_lease }},
        greatest(leases.known_from_at, used.known_from_at) as known_from_at,
        least(leases.known_until_at, used.known_until_at) as known_until_at,
        'metered_use' as component,
        used.service_date,
        used.service_month,
        used.gpu_hours as entry_gpu_hours,
        cast(null as decimal(18, 2)) as entry_amount,
        cast(null as varchar) as entry_currency_code
    from use_of_months as used
    inner join leases
        on
            {{ is_used_under('used', 'leases') }}
            and {{ known_together('leases', 'used') }}
    where leases.is_billing and leases.pricing = 'metered'
    union all
    select
        {{ of_lease }},
        amounts.known_from_at,
        amounts.known_until_at,
        amounts.component,
        amounts.service_date,
        cast(date_trunc('month', amounts.service_date) as date) as service_month,
        cast(null as decimal(18, 6)) as entry_gpu_hours,
        amounts.amount as entry_amount,
        amounts.currency_code as entry_currency_code
    from {{ ref('int_lease_amounts') }} as amounts
    inner join leases
        on
            amounts.park_id = leases.park_id
            and amounts.lease_id = leases.lease_id
            and amounts.version = leases.version
            and {{ known_at('leases', 'amounts.known_from_at') }}
    semi join sliced_months
        on amounts.park_id = sliced_months.park_id and date_trunc('month', amounts.service_date) = sliced_months.service_month
),

-- Reserved hours are those of the lease's own clock, whatever telemetry says.
reserved_gross as (
    {%- for scope in ['facts.supported_contract_id = slices.only_contract_id', 'slices.only_contract_id is null'] %}
    select
        slices.contract_id,
        slices.point_no,
        slices.share_id,
        slices.service_month,
        slices.segment_no,
        slices.date_tier_no,
        slices.other_park_prefix || facts.lease_id as lease_id,
        facts.version,
        'gross' as component,
        {{ gpu_hours_of_overlap('facts.gpu_count', 'slices.from_at', 'slices.to_at', 'facts.holds_from_at', 'facts.holds_until_at') }} as gpu_hours,
        facts.price_per_gpu_hour,
        main.exact_product(gpu_hours, facts.price_per_gpu_hour) as component_amount,
        facts.currency_code as component_currency_code
    from slices
    inner join leases as facts
        on
            slices.park_id = facts.park_id
            and {{ scope }}
            and slices.from_at < facts.holds_until_at
            and slices.to_at > facts.holds_from_at
            and {{ known_at('facts', 'slices.known_at') }}
    where facts.is_billing and facts.pricing = 'reserved' and {{ is_eligible }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

seen_entries as (
    {%- for scope in ['facts.supported_contract_id = slices.only_contract_id', 'slices.only_contract_id is null'] %}
    select
        slices.contract_id,
        slices.point_no,
        slices.share_id,
        slices.segment_no,
        slices.date_tier_no,
        facts.* exclude (known_from_at, known_until_at, park_id, supported_contract_id, customer_type, service_date)
        replace (slices.other_park_prefix || facts.lease_id as lease_id)
    from slices
    inner join entries as facts
        on
            slices.park_id = facts.park_id
            and {{ scope }}
            and slices.service_month = facts.service_month
            and facts.service_date between slices.from_date and slices.to_date
            and {{ known_at('facts', 'slices.known_at') }}
    where {{ is_eligible }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

summed_entries as (
    select
        * exclude (entry_gpu_hours, entry_amount),
        sum(entry_gpu_hours) as entry_gpu_hours,
        sum(entry_amount) as entry_amount
    from seen_entries
    group by all
)

select * from reserved_gross
union all
select
    contract_id,
    point_no,
    share_id,
    service_month,
    segment_no,
    date_tier_no,
    lease_id,
    version,
    'gross' as component,
    cast(entry_gpu_hours as decimal(38, 18)) as gpu_hours,
    price_per_gpu_hour,
    main.exact_product(entry_gpu_hours, price_per_gpu_hour) as component_amount,
    currency_code as component_currency_code
from summed_entries
where component = 'metered_use'
union all
select
    contract_id,
    point_no,
    share_id,
    service_month,
    segment_no,
    date_tier_no,
    lease_id,
    version,
    component,
    cast(0 as decimal(38, 18)) as gpu_hours,
    price_per_gpu_hour,
    cast(entry_amount as decimal(38, 18)) as component_amount,
    entry_currency_code as component_currency_code
from summed_entries
where component != 'metered_use'
union all
select
    contract_id,
    point_no,
    share_id,
    service_month,
    segment_no,
    date_tier_no,
    cast(null as varchar) as lease_id,
    cast(null as integer) as version,
    'operating_cost' as component,
    cast(0 as decimal(38, 18)) as gpu_hours,
    cast(null as decimal(18, 9)) as price_per_gpu_hour,
    cast(-cost_amount as decimal(38, 18)) as component_amount,
    currency_code as component_currency_code
from operating_costs
