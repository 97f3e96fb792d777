-- Amounts of leases on single days, as known: adjustments of the bill and tenants' receipts.
with parks as (
    select
        park_id,
        time_zone
    from {{ ref('stg_park') }}
),

dated_amounts as (
    select
        adjustments.park_id,
        adjustments.lease_id,
        adjustments.kind as component,
        adjustments.service_date,
        adjustments.amount,
        adjustments.currency_code,
        adjustments.known_from_at,
        adjustments.known_until_at
    from {{ ref('stg_lease_adjustments') }} as adjustments
    union all
    select
        receipts.park_id,
        receipts.lease_id,
        'cash_collected' as component,
        cast(timezone(parks.time_zone, receipts.received_at) as date) as service_date,
        receipts.amount,
        receipts.currency_code,
        receipts.known_from_at,
        receipts.known_until_at
    from {{ ref('stg_payments') }} as receipts
    inner join parks on receipts.park_id = parks.park_id
    where receipts.direction = 'tenant_received'
),

amounts as (
    select
        dated_amounts.*,
        timezone(parks.time_zone, cast(dated_amounts.service_date + 1 as timestamp)) as day_ends_at
    from dated_amounts
    inner join parks on dated_amounts.park_id = parks.park_id
),

-- An amount belongs to the version in force at the end of its day; after the lease to its last version, before it to its first.
versions as (
    select
        park_id,
        lease_id,
        version,
        known_from_at,
        known_until_at,
        case
            when row_number() over by_start = 1 then timestamptz '0001-01-01 00:00:00+00' else holds_from_at
        end as takes_after_at,
        coalesce(lead(holds_from_at) over by_start, timestamptz '9999-12-31 00:00:00+00') as takes_until_at
    from {{ ref('int_lease_intervals') }}
    window by_start as (partition by park_id, lease_id, known_from_at order by holds_from_at)
)

select
    amounts.park_id,
    greatest(versions.known_from_at, amounts.known_from_at) as known_from_at,
    least(versions.known_until_at, amounts.known_until_at) as known_until_at,
    versions.lease_id,
    versions.version,
    amounts.component,
    amounts.service_date,
    amounts.amount,
    amounts.currency_code
from amounts
inner join versions
    on
        amounts.park_id = versions.park_id
        and amounts.lease_id = versions.lease_id
        and amounts.day_ends_at > versions.takes_after_at
        and amounts.day_ends_at <= versions.takes_until_at
        and {{ known_together('versions', 'amounts') }}
