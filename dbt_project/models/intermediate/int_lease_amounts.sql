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
        adjustments.adjustment_id as entry_id,
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
        receipts.payment_id as entry_id,
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
)

-- An amount belongs to the version in force at the end of its day; after the lease to its last version, before it to its first.
select
    amounts.park_id,
    greatest(leases.known_from_at, amounts.known_from_at) as known_from_at,
    least(leases.known_until_at, amounts.known_until_at) as known_until_at,
    leases.lease_id,
    leases.version,
    amounts.component,
    amounts.service_date,
    amounts.amount,
    amounts.currency_code
from dated_amounts as amounts
inner join parks on amounts.park_id = parks.park_id
inner join {{ ref('int_lease_intervals') }} as leases
    on
        amounts.park_id = leases.park_id
        and amounts.lease_id = leases.lease_id
        and {{ known_together('leases', 'amounts') }}
qualify row_number() over (
    partition by amounts.park_id, amounts.component, amounts.entry_id, amounts.known_from_at, leases.known_from_at
    order by
        leases.holds_from_at < timezone(parks.time_zone, cast(amounts.service_date + 1 as timestamp)) desc,
        case
            when leases.holds_from_at < timezone(parks.time_zone, cast(amounts.service_date + 1 as timestamp))
                then -epoch_us(leases.holds_from_at)
            else epoch_us(leases.holds_from_at)
        end
) = 1
