-- Leases as known, each state of a lease from the first instant that sees it: the closes of its park's contracts, those of contracts whose share is
-- of all that the park's operator runs, and the home's clock.
with instants as (
    select
        park_id,
        known_at
    from {{ ref('int_knowledge_points') }}
    union
    select
        parks.park_id,
        points.known_at
    from {{ ref('int_knowledge_points') }} as points
    inner join {{ ref('stg_contract') }} as contracts on points.contract_id = contracts.contract_id
    inner join {{ ref('stg_park') }} as parks on contracts.operator_id = parks.operator_id
    where
        points.contract_id in (
            select share_terms.contract_id
            from {{ ref('stg_share_terms') }} as share_terms
            where share_terms.base_scope = 'all_cloud'
        )
    union
    select
        stg_park.park_id,
        stg_home.clock_at as known_at
    from {{ ref('stg_park') }} as stg_park
    cross join {{ ref('stg_home') }} as stg_home
),

changes as (
    select
        park_id,
        lease_id,
        known_from_at as changed_at
    from {{ ref('stg_leases') }}
    union
    select
        park_id,
        lease_id,
        known_until_at as changed_at
    from {{ ref('stg_leases') }}
    where known_until_at is not null
),

seen_changes as (
    select distinct
        changes.park_id,
        changes.lease_id,
        instants.known_at as known_from_at
    from changes
    asof join instants on changes.park_id = instants.park_id and changes.changed_at <= instants.known_at
),

states as (
    select
        *,
        lead(known_from_at) over (partition by park_id, lease_id order by known_from_at) as known_until_at
    from seen_changes
),

known_versions as (
    select
        leases.* exclude (known_from_at, known_until_at),
        states.known_from_at,
        states.known_until_at
    from states
    inner join {{ ref('stg_leases') }} as leases
        on
            states.park_id = leases.park_id
            and states.lease_id = leases.lease_id
            and {{ known_at('leases', 'states.known_from_at') }}
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
                    partition by known_from_at, park_id, lease_id order by version rows between 1 following and unbounded following
                ),
                timestamptz '9999-12-31 00:00:00+00'
            )
        ) as holds_until_at
    from known_versions
)

select
    park_id,
    known_from_at,
    known_until_at,
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
