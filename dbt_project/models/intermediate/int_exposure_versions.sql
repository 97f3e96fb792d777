-- The backstop's terms that lie ahead of each ended month, as known at the month's end.
with as_of_months as (
    select
        closes.contract_id,
        closes.park_id,
        closes.time_zone,
        closes.posting_month as as_of_month,
        closes.month_end_date,
        closes.ended_at
    from {{ ref('int_closes') }} as closes
),

-- Terms known at the month's end.
known_versions as (
    select
        as_of_months.*,
        versions.amendment_id,
        versions.valid_from
    from as_of_months
    inner join {{ ref('stg_contract_version') }} as versions
        on as_of_months.contract_id = versions.contract_id and as_of_months.ended_at >= versions.recorded_at
    where versions.instrument = 'backstop'
    qualify row_number() over (
        partition by as_of_months.contract_id, as_of_months.as_of_month, versions.valid_from
        order by versions.recorded_at desc, versions.amendment_id desc
    ) = 1
),

endings as (
    select
        as_of_months.contract_id,
        as_of_months.as_of_month,
        min(cast(timezone(as_of_months.time_zone, events.effective_at) as date)) filter (where events.kind = 'insolvency')
            as insolvency_date,
        min(cast(timezone(as_of_months.time_zone, events.effective_at) as date)) filter (where events.kind = 'termination')
            as termination_date
    from as_of_months
    inner join {{ ref('stg_credit_events') }} as events
        on
            (as_of_months.contract_id = events.contract_id or (events.contract_id is null and as_of_months.park_id = events.park_id))
            and {{ known_at('events', 'as_of_months.ended_at') }}
    where events.kind in ('insolvency', 'termination')
    group by as_of_months.contract_id, as_of_months.as_of_month
),

future_versions as (
    select
        known_versions.*,
        contracts.service_commencement_date,
        contracts.minor_unit_digits,
        backstop_terms.* exclude (contract_id, amendment_id, valid_from, recorded_at, expiry_date),
        greatest(known_versions.valid_from, known_versions.month_end_date + 1, contracts.service_commencement_date) as from_date,
        least(
            lead(known_versions.valid_from) over (
                partition by known_versions.contract_id, known_versions.as_of_month order by known_versions.valid_from
            ) - 1,
            contracts.expiry_date,
            backstop_terms.expiry_date,
            endings.termination_date - 1,
            case when backstop_terms.survives_operator_insolvency then null else endings.insolvency_date - 1 end
        ) as to_date
    from known_versions
    inner join {{ ref('stg_contract') }} as contracts on known_versions.contract_id = contracts.contract_id
    left join {{ ref('stg_backstop_terms') }} as backstop_terms
        on known_versions.contract_id = backstop_terms.contract_id and known_versions.amendment_id = backstop_terms.amendment_id
    left join endings
        on known_versions.contract_id = endings.contract_id and known_versions.as_of_month = endings.as_of_month
)

select *
from future_versions
where from_date <= to_date
