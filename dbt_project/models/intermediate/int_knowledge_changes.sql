-- From which service month on a point knows otherwise than the one before. Nothing is told again of the months before it: their figures follow from
-- facts of their own and of earlier months alone.
with points as (
    select
        contract_id,
        park_id,
        time_zone,
        point_no,
        posting_month,
        known_at,
        lag(known_at) over (partition by contract_id order by point_no) as known_before_at,
        lag(posting_month) over (partition by contract_id order by point_no) as month_before
    from {{ ref('int_knowledge_points') }}
),

contracts as (
    select
        contracts.contract_id,
        contracts.park_id,
        contracts.currency_code,
        parks.time_zone,
        parks.operator_id
    from {{ ref('stg_contract') }} as contracts
    inner join {{ ref('stg_park') }} as parks on contracts.park_id = parks.park_id
),

-- Whose figures a lease may move: the contract of its tranche, or the one it names; where a share is of the whole site, each lease of the park, and
-- where it is of all cloud, each lease of the operator's parks.
moved_contracts as (
    select
        leases.park_id,
        leases.lease_id,
        coalesce(tranches.contract_id, leases.contract_id) as contract_id
    from {{ ref('stg_leases') }} as leases
    left join {{ ref('stg_tranche') }} as tranches on leases.tranche_id = tranches.tranche_id
    union
    select
        leases.park_id,
        leases.lease_id,
        contracts.contract_id
    from {{ ref('stg_leases') }} as leases
    inner join contracts on leases.park_id = contracts.park_id
    where
        contracts.contract_id in (
            select share_terms.contract_id
            from {{ ref('stg_share_terms') }} as share_terms
            where share_terms.base_scope = 'whole_site'
        )
    union
    select
        leases.park_id,
        leases.lease_id,
        contracts.contract_id
    from {{ ref('stg_leases') }} as leases
    inner join {{ ref('stg_park') }} as parks on leases.park_id = parks.park_id
    inner join contracts on parks.operator_id = contracts.operator_id
    where
        contracts.contract_id in (
            select share_terms.contract_id
            from {{ ref('stg_share_terms') }} as share_terms
            where share_terms.base_scope = 'all_cloud'
        )
),

-- What a lease's bill, use and receipts are worth, and when that came to be known otherwise. Use that is corrected stays with its lease and day, so
-- that a row ends when another of them begins.
dated_facts as (
    select
        park_id,
        lease_id,
        service_month,
        service_date,
        known_from_at as changed_at,
        false as is_amount
    from {{ ref('int_lease_use') }}
    union all
    select
        park_id,
        lease_id,
        cast(date_trunc('month', service_date) as date) as service_month,
        service_date,
        unnest([known_from_at, known_until_at]) as changed_at,
        true as is_amount
    from {{ ref('stg_lease_adjustments') }}
    union all
    select
        receipts.park_id,
        receipts.lease_id,
        cast(date_trunc('month', timezone(parks.time_zone, receipts.received_at)) as date) as service_month,
        cast(timezone(parks.time_zone, receipts.received_at) as date) as service_date,
        unnest([receipts.known_from_at, receipts.known_until_at]) as changed_at,
        true as is_amount
    from {{ ref('stg_payments') }} as receipts
    inner join {{ ref('stg_park') }} as parks on receipts.park_id = parks.park_id
    where receipts.direction = 'tenant_received'
),

-- An amount from before a lease belongs to its first version.
first_amounts as (
    select
        park_id,
        lease_id,
        min(service_date) as first_date
    from dated_facts
    where is_amount
    group by park_id, lease_id
),

lease_rows as (
    select
        park_id,
        lease_id,
        known_from_at,
        known_until_at,
        holds_from_at,
        holds_until_at,
        holds_from_at = min(holds_from_at) over (partition by park_id, lease_id, known_from_at) as is_first,
        row(version, contract_id, tranche_id, gpu_count, price_per_gpu_hour, currency_code, customer_type, pricing, is_billing) as terms
    from {{ ref('int_lease_intervals') }}
),

-- A version that two states of knowledge share changes where one of them ends it; any other from its start.
lease_changes as (
    select
        coalesce(later.park_id, earlier.park_id) as park_id,
        coalesce(later.lease_id, earlier.lease_id) as lease_id,
        coalesce(later.known_from_at, earlier.known_until_at) as changed_at,
        case
            when later.lease_id is null then earlier.holds_from_at
            when earlier.lease_id is null then later.holds_from_at
            else least(later.holds_until_at, earlier.holds_until_at)
        end as changed_from_at,
        (later.lease_id is null and earlier.is_first) or (earlier.lease_id is null and later.is_first) as is_of_first
    from lease_rows as later
    full outer join lease_rows as earlier
        on
            later.park_id = earlier.park_id
            and later.lease_id = earlier.lease_id
            and later.known_from_at = earlier.known_until_at
            and later.holds_from_at = earlier.holds_from_at
            and later.terms = earlier.terms
    where
        coalesce(later.known_from_at, earlier.known_until_at) is not null
        and later.holds_until_at is distinct from earlier.holds_until_at
),

changes as (
    select
        moved_contracts.contract_id,
        lease_changes.changed_at,
        least(
            cast(timezone(parks.time_zone, lease_changes.changed_from_at) as date),
            case when lease_changes.is_of_first then first_amounts.first_date end
        ) as from_date
    from lease_changes
    inner join moved_contracts on lease_changes.park_id = moved_contracts.park_id and lease_changes.lease_id = moved_contracts.lease_id
    inner join {{ ref('stg_park') }} as parks on lease_changes.park_id = parks.park_id
    left join first_amounts on lease_changes.park_id = first_amounts.park_id and lease_changes.lease_id = first_amounts.lease_id
    union all
    select
        moved_contracts.contract_id,
        dated_facts.changed_at,
        dated_facts.service_date as from_date
    from dated_facts
    inner join moved_contracts on dated_facts.park_id = moved_contracts.park_id and dated_facts.lease_id = moved_contracts.lease_id
    -- What is told before its month ends, the point of that month sees with the month. Twenty-seven days on, UTC, none has ended in any zone.
    where epoch_us(dated_facts.changed_at) >= epoch_us(dated_facts.service_month + interval 27 day)
    union all
    -- And so with a day's first state.
    select
        tranches.contract_id,
        states.known_until_at as changed_at,
        states.service_date as from_date
    from {{ ref('int_outage_states') }} as states
    inner join {{ ref('stg_tranche') }} as tranches on states.tranche_id = tranches.tranche_id
    where states.known_until_at is not null
    union all
    -- An ending moves the last months of periods that began before it.
    select
        contracts.contract_id,
        unnest([events.known_from_at, events.known_until_at]) as changed_at,
        case
            when events.kind in ('insolvency', 'termination') then date '0001-01-01'
            else cast(timezone(contracts.time_zone, events.effective_at) as date)
        end as from_date
    from {{ ref('stg_credit_events') }} as events
    inner join contracts on events.park_id = contracts.park_id
    left join {{ ref('stg_tranche') }} as tranches on events.tranche_id = tranches.tranche_id
    where
        events.kind in ('insolvency', 'termination', 'withdrawal', 'recall', 'acceptance', 'commercial_operation', 'price_index')
        and (
            events.contract_id is null
            or events.contract_id = contracts.contract_id
            or coalesce(tranches.contract_id = contracts.contract_id, false)
        )
    union all
    select
        contract_id,
        unnest([known_from_at, known_until_at]) as changed_at,
        service_month as from_date
    from {{ ref('int_contract_facts') }}
    union all
    select
        contracts.contract_id,
        timezone(contracts.time_zone, cast(marks.observed_date + 1 as timestamp)) as changed_at,
        backstop_terms.rv_date as from_date
    from {{ ref('stg_hardware_value') }} as marks
    inner join {{ ref('stg_backstop_terms') }} as backstop_terms on marks.observed_date <= backstop_terms.rv_date
    inner join contracts on backstop_terms.contract_id = contracts.contract_id
    union all
    -- Terms hold together: a version that comes to be known may move any month.
    select
        contract_id,
        recorded_at as changed_at,
        date '0001-01-01' as from_date
    from {{ ref('stg_contract_version') }}
),

-- A point sees a change first; the next one has it.
seen_changes as (
    select
        changes.contract_id,
        points.point_no,
        min(changes.from_date) as from_date
    from (
        select
            contract_id,
            changed_at,
            min(from_date) as from_date
        from changes
        where changed_at is not null
        group by contract_id, changed_at
    ) as changes
    asof join {{ first_points('points') }} as points
        on changes.contract_id = points.contract_id and changes.changed_at <= points.known_at
    group by changes.contract_id, points.point_no
),

-- A rate fixed on the invoice date may be one of a day that the point before had not seen.
invoice_rates as (
    select
        contract_id,
        max(statement_due_days) as due_days,
        max(case accrual_period when 'quarter' then 2 when 'year' then 11 else 0 end) as months_after
    from {{ ref('stg_share_terms') }}
    where fx_fix = 'invoice_date'
    group by contract_id
)

select
    points.contract_id,
    points.point_no,
    cast(date_trunc('month', least(
        case
            when points.month_before is null then date '0001-01-01'
            when points.month_before < points.posting_month then points.month_before + interval 1 month
        end,
        seen_changes.from_date,
        cast(timezone(points.time_zone, points.known_before_at) as date) - invoice_rates.due_days - to_months(invoice_rates.months_after)
    )) as date) as first_changed_month
from points
left join seen_changes on points.contract_id = seen_changes.contract_id and points.point_no = seen_changes.point_no
left join invoice_rates on points.contract_id = invoice_rates.contract_id
