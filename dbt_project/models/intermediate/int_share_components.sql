-- What each eligible lease version puts into the base on each slice, by component and in its own currency, as known at each point.
with lease_versions as (
    select
        slices.contract_id,
        slices.point_no,
        slices.share_id,
        slices.service_month,
        slices.segment_no,
        slices.date_tier_no,
        slices.from_date,
        slices.to_date,
        slices.from_at,
        slices.to_at,
        leases.park_id,
        slices.known_at,
        leases.lease_id,
        leases.version,
        leases.pricing,
        leases.is_billing,
        leases.gpu_count,
        leases.price_per_gpu_hour,
        leases.currency_code,
        leases.holds_from_at,
        leases.holds_until_at
    from {{ ref('int_share_slices') }} as slices
    inner join {{ ref('int_lease_intervals') }} as leases
        on slices.park_id = leases.park_id and {{ known_at('leases', 'slices.known_at') }}
    left join {{ ref('stg_tranche') }} as tranches on leases.tranche_id = tranches.tranche_id
    where
        -- A lease supports the contract of its tranche; one without a tranche names its contract itself.
        (slices.base_scope = 'whole_site' or slices.contract_id = coalesce(tranches.contract_id, leases.contract_id))
        and (
            leases.customer_type = 'third_party'
            or (leases.customer_type = 'related' and slices.customer_scope in ('incl_related', 'incl_vendor_own_use'))
            or (leases.customer_type = 'vendor_own_use' and slices.customer_scope = 'incl_vendor_own_use')
        )
),

entries as (
    select
        lease_versions.* exclude (from_date, to_date, from_at, to_at, park_id, known_at),
        entries.component,
        sum(entries.gpu_hours) as entry_gpu_hours,
        sum(entries.amount) as entry_amount,
        entries.currency_code as entry_currency_code
    from lease_versions
    inner join {{ ref('int_lease_entries') }} as entries
        on
            lease_versions.park_id = entries.park_id
            and {{ known_at('entries', 'lease_versions.known_at') }}
            and lease_versions.lease_id = entries.lease_id
            and lease_versions.version = entries.version
            and entries.service_date between lease_versions.from_date and lease_versions.to_date
    group by all
),

-- Reserved hours are those of the lease's own clock, whatever telemetry says.
reserved_gross as (
    select
        * exclude (from_date, to_date, from_at, to_at, park_id, known_at, pricing, is_billing, gpu_count, holds_from_at, holds_until_at),
        'gross' as component,
        {{ gpu_hours_of_overlap('gpu_count', 'from_at', 'to_at', 'holds_from_at', 'holds_until_at') }} as gpu_hours,
        main.exact_product(gpu_hours, price_per_gpu_hour) as amount
    from lease_versions
    where is_billing and pricing = 'reserved' and from_at < holds_until_at and holds_from_at < to_at
),

metered_gross as (
    select
        * exclude (pricing, is_billing, gpu_count, holds_from_at, holds_until_at, component, entry_gpu_hours, entry_amount, entry_currency_code),
        'gross' as component,
        cast(entry_gpu_hours as decimal(38, 18)) as gpu_hours,
        main.exact_product(entry_gpu_hours, price_per_gpu_hour) as amount
    from entries
    where is_billing and pricing = 'metered' and component = 'metered_use'
),

amounts as (
    select
        * exclude (pricing, is_billing, gpu_count, holds_from_at, holds_until_at, currency_code, entry_gpu_hours, entry_amount, entry_currency_code),
        cast(0 as decimal(38, 18)) as gpu_hours,
        cast(entry_amount as decimal(38, 18)) as amount,
        entry_currency_code as currency_code
    from entries
    where component != 'metered_use'
),

all_components as (
    select * from reserved_gross
    union all by name
    select * from metered_gross
    union all by name
    select * from amounts
)

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
    gpu_hours,
    price_per_gpu_hour,
    amount as component_amount,
    currency_code as component_currency_code
from all_components
