-- What each eligible lease version puts into the base on each slice, by component and in its own currency, as known at each point that knows
-- otherwise of the month than the one before.
{% set is_eligible -%}
        (
            facts.customer_type = 'third_party'
            or (facts.customer_type = 'related' and slices.customer_scope in ('incl_related', 'incl_vendor_own_use'))
            or (facts.customer_type = 'vendor_own_use' and slices.customer_scope = 'incl_vendor_own_use')
        )
{%- endset %}
with leases as (
    select
        leases.*,
        -- A lease supports the contract of its tranche; one without a tranche names its contract itself.
        coalesce(tranches.contract_id, leases.contract_id) as supported_contract_id
    from {{ ref('int_lease_intervals') }} as leases
    left join {{ ref('stg_tranche') }} as tranches on leases.tranche_id = tranches.tranche_id
),

-- Where the share is of the whole site, each lease of the park supports the contract.
slices as (
    select
        slices.*,
        case when slices.base_scope = 'whole_site' then null else slices.contract_id end as only_contract_id
    from {{ ref('int_share_slices') }} as slices
),

entries as (
    select
        leases.park_id,
        leases.supported_contract_id,
        leases.customer_type,
        leases.lease_id,
        leases.version,
        leases.pricing,
        leases.is_billing,
        leases.price_per_gpu_hour,
        leases.currency_code,
        entries.known_from_at,
        entries.known_until_at,
        entries.component,
        entries.service_date,
        cast(date_trunc('month', entries.service_date) as date) as service_month,
        entries.gpu_hours as entry_gpu_hours,
        entries.amount as entry_amount,
        entries.currency_code as entry_currency_code
    from {{ ref('int_lease_entries') }} as entries
    inner join leases
        on
            entries.park_id = leases.park_id
            and entries.lease_id = leases.lease_id
            and entries.version = leases.version
            and {{ known_at('leases', 'entries.known_from_at') }}
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
        facts.lease_id,
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
where is_billing and pricing = 'metered' and component = 'metered_use'
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
