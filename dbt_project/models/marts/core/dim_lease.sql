select
    leases.lease_id,
    leases.version,
    leases.park_id,
    leases.tenant_id,
    leases.contract_id,
    leases.tranche_id,
    leases.gpu_model,
    leases.gpu_count,
    leases.starts_at,
    leases.ends_at,
    leases.price_per_gpu_hour,
    leases.currency_code,
    leases.pricing,
    leases.workload,
    leases.customer_type,
    leases.status,
    leases.starts_at as valid_from,
    -- A version that a later one replaced from its own start holds for no time at all.
    coalesce(intervals.holds_until_at, leases.starts_at) as valid_to
from {{ ref('stg_leases') }} as leases
left join {{ ref('int_lease_intervals') }} as intervals
    on
        leases.park_id = intervals.park_id
        and leases.lease_id = intervals.lease_id
        and leases.version = intervals.version
        and intervals.known_until_at is null
where leases.is_current
