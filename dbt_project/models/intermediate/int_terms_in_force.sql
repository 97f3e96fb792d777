with known_versions as (
    select
        points.contract_id,
        points.point_no,
        points.park_id,
        points.time_zone,
        points.known_at,
        points.posting_month,
        versions.instrument,
        versions.amendment_id,
        versions.valid_from
    from {{ ref('int_knowledge_points') }} as points
    inner join {{ ref('stg_contract_version') }} as versions
        on points.contract_id = versions.contract_id and points.known_at >= versions.recorded_at
    where versions.instrument in ('revenue_share', 'backstop')
    -- Two versions from the same day: the one recorded last holds.
    qualify row_number() over (
        partition by points.contract_id, points.point_no, versions.instrument, versions.valid_from
        order by versions.recorded_at desc, versions.amendment_id desc
    ) = 1
),

bounded_versions as (
    select
        *,
        lead(valid_from) over (partition by contract_id, point_no, instrument order by valid_from) - 1 as valid_until_date
    from known_versions
),

-- The day of an insolvency is already out; so is that of a termination.
endings as (
    select
        points.contract_id,
        points.point_no,
        min(cast(timezone(points.time_zone, events.effective_at) as date)) filter (where events.kind = 'insolvency') as insolvency_date,
        min(cast(timezone(points.time_zone, events.effective_at) as date)) filter (where events.kind = 'termination') as termination_date
    from {{ ref('int_knowledge_points') }} as points
    inner join {{ ref('stg_credit_events') }} as events
        on
            (points.contract_id = events.contract_id or (events.contract_id is null and points.park_id = events.park_id))
            and {{ known_at('events', 'points.known_at') }}
    where events.kind in ('insolvency', 'termination')
    group by points.contract_id, points.point_no
),

dated_versions as (
    select
        bounded_versions.*,
        contracts.service_commencement_date,
        contracts.expiry_date as contract_expiry_date,
        backstop_terms.expiry_date as backstop_expiry_date,
        -- least() passes over nulls.
        least(
            contracts.expiry_date,
            endings.termination_date - 1,
            case when backstop_terms.survives_operator_insolvency then null else endings.insolvency_date - 1 end
        ) as contract_end_date
    from bounded_versions
    inner join {{ ref('stg_contract') }} as contracts on bounded_versions.contract_id = contracts.contract_id
    left join {{ ref('stg_backstop_terms') }} as backstop_terms
        on
            bounded_versions.instrument = 'backstop'
            and bounded_versions.contract_id = backstop_terms.contract_id
            and bounded_versions.amendment_id = backstop_terms.amendment_id
    left join endings
        on bounded_versions.contract_id = endings.contract_id and bounded_versions.point_no = endings.point_no
)

select
    contract_id,
    point_no,
    park_id,
    time_zone,
    known_at,
    posting_month,
    instrument,
    amendment_id,
    service_commencement_date,
    contract_expiry_date,
    contract_end_date,
    greatest(valid_from, service_commencement_date) as from_date,
    least(valid_until_date, contract_end_date, backstop_expiry_date) as to_date
from dated_versions
where greatest(valid_from, service_commencement_date) <= least(valid_until_date, contract_end_date, backstop_expiry_date)
