-- Leases as known at each instant that matters in their park: the closes of its contracts and the home's clock.
with instants as (
    select
        park_id,
        known_at
    from {{ ref('int_knowledge_points') }}
    union
    select
        stg_park.park_id,
        stg_home.clock_at as known_at
    from {{ ref('stg_park') }} as stg_park
    cross join {{ ref('stg_home') }} as stg_home
),

known_versions as (
    select
        instants.known_at,
        leases.*
    from instants
    inner join {{ ref('stg_leases') }} as leases
        on
            instants.park_id = leases.park_id
            and {{ known_at('leases', 'instants.known_at') }}
),

-- A version holds until the start of a later one; a later one that starts no later leaves nothing of it.
bounded_versions as (
    select
        *,
        starts_at as holds_from_at,
        least(
            coalesce(ends_at, timestamptz '9999-12-31 00:00:00+00'),
            coalesce(
                min(starts_at) over (
                    partition by known_at, park_id, lease_id order by version rows between 1 following and unbounded following
                ),
                timestamptz '9999-12-31 00:00:00+00'
            )
        ) as holds_until_at
    from known_versions
)

select
    park_id,
    known_at,
    lease_id,
    version,
    holds_from_at,
    holds_until_at,
    tenant_id,
    contract_id,
    tranche_id,
    gpu_model,
    gpu_count,
    price_per_gpu_hour,
    currency_code,
    workload,
    customer_type,
    pricing,
    status in ('active', 'ended') as is_billing
from bounded_versions
where holds_from_at < holds_until_at
