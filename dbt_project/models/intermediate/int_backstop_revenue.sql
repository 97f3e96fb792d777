-- What third parties' leases are billed on each segment of a backstop that guarantees revenue, by currency: hours times price, before any adjustment.
with leases as (
    select
        segments.contract_id,
        segments.point_no,
        segments.tranche_id,
        segments.service_month,
        segments.segment_no,
        segments.known_at,
        segments.from_date,
        segments.to_date,
        segments.from_at,
        segments.to_at,
        leases.* exclude (contract_id, tranche_id)
    from {{ ref('int_backstop_segments') }} as segments
    inner join {{ ref('int_lease_intervals') }} as leases
        on
            segments.park_id = leases.park_id
            and {{ known_at('leases', 'segments.known_at') }}
            and segments.tranche_id = leases.tranche_id
    where
        segments.settlement_type = 'revenue_shortfall'
        and leases.is_billing
        and leases.customer_type != 'vendor_own_use'
),

billed as (
    select
        leases.*,
        {{ gpu_hours_of_overlap('gpu_count', 'from_at', 'to_at', 'holds_from_at', 'holds_until_at') }} as billed_gpu_hours
    from leases
    where pricing = 'reserved' and from_at < holds_until_at and holds_from_at < to_at
    union all
    select
        leases.*,
        used.gpu_hours as billed_gpu_hours
    from leases
    inner join {{ ref('int_lease_use') }} as used
        on
            {{ is_used_under('used', 'leases') }}
            and leases.service_month = used.service_month
            and used.service_date between leases.from_date and leases.to_date
            and {{ known_at('used', 'leases.known_at') }}
    where leases.pricing = 'metered'
)

select
    contract_id,
    point_no,
    tranche_id,
    service_month,
    segment_no,
    currency_code,
    cast(sum(main.exact_product(billed_gpu_hours, price_per_gpu_hour)) as decimal(38, 18)) as billed_amount
from billed
group by contract_id, point_no, tranche_id, service_month, segment_no, currency_code
