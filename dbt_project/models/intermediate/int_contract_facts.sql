-- What the operator's statements tell of a contract's months, and when it was known: from the day after its publication until the same figure was
-- stated anew.
select
    facts.contract_id,
    facts.item,
    cast(date_trunc('month', facts.as_of_date) as date) as service_month,
    facts.as_of_date,
    facts.amount,
    timezone(parks.time_zone, cast(facts.published_date + 1 as timestamp)) as known_from_at,
    lead(timezone(parks.time_zone, cast(facts.published_date + 1 as timestamp))) over (
        partition by facts.contract_id, facts.item, facts.as_of_date order by facts.published_date
    ) as known_until_at
from {{ ref('stg_operator_fact') }} as facts
inner join {{ ref('stg_contract') }} as contracts on facts.contract_id = contracts.contract_id
inner join {{ ref('stg_park') }} as parks on contracts.park_id = parks.park_id
