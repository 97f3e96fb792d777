-- From which day a tranche may have a backstop under each condition, as known at each point: the first service day that begins at the event or later.
with points as (
    select
        points.contract_id,
        points.point_no,
        points.park_id,
        points.known_at,
        points.time_zone,
        tranches.tranche_id
    from {{ ref('int_knowledge_points') }} as points
    inner join {{ ref('stg_tranche') }} as tranches on points.contract_id = tranches.contract_id
),

events as (
    select
        points.contract_id,
        points.point_no,
        points.tranche_id,
        events.kind,
        min(timezone(points.time_zone, events.effective_at)) as happened_at_local
    from points
    inner join {{ ref('stg_credit_events') }} as events
        on
            points.park_id = events.park_id
            and points.tranche_id = events.tranche_id
            and {{ known_at('events', 'points.known_at') }}
    where events.kind in ('acceptance', 'commercial_operation')
    group by points.contract_id, points.point_no, points.tranche_id, events.kind
    union all
    select
        points.contract_id,
        points.point_no,
        points.tranche_id,
        'lease_commencement' as kind,
        min(timezone(points.time_zone, leases.holds_from_at)) as happened_at_local
    from points
    inner join {{ ref('int_lease_intervals') }} as leases
        on
            points.park_id = leases.park_id
            and points.tranche_id = leases.tranche_id
            and {{ known_at('leases', 'points.known_at') }}
    where
        leases.is_billing
        and points.contract_id in (
            select waiting.contract_id
            from {{ ref('stg_backstop_terms') }} as waiting
            where waiting.effective_event = 'lease_commencement'
        )
    group by points.contract_id, points.point_no, points.tranche_id
)

select
    contract_id,
    point_no,
    tranche_id,
    case kind when 'commercial_operation' then 'COD' else kind end as effective_event,
    {{ first_day_from('happened_at_local') }} as effective_date
from events
