-- What the ledgers of each contract follow from at each point, as one fingerprint: the terms, and of the point and the points before it when they
-- know, of which months they know otherwise, and all that they have come to know. What a point says beside the ones before it, a difference, follows
-- from its history: its own fingerprint, theirs, and what their sealed closes keep.
with points as (
    select
        points.contract_id,
        points.point_no,
        points.posting_month,
        points.known_at,
        changes.first_changed_month
    from {{ ref('int_knowledge_points') }} as points
    inner join {{ ref('int_knowledge_changes') }} as changes on points.contract_id = changes.contract_id and points.point_no = changes.point_no
),

-- A share of all cloud looks at each park of the operator.
contract_parks as (
    select
        contract_id,
        park_id
    from {{ ref('stg_contract') }}
    union
    select
        contracts.contract_id,
        parks.park_id
    from {{ ref('stg_contract') }} as contracts
    inner join {{ ref('stg_park') }} as own_park on contracts.park_id = own_park.park_id
    inner join {{ ref('stg_park') }} as parks on parks.operator_id in (own_park.operator_id, contracts.operator_id)
    where
        contracts.contract_id in (
            select share_terms.contract_id
            from {{ ref('stg_share_terms') }} as share_terms
            where share_terms.base_scope = 'all_cloud'
        )
),

-- A sum of what has come to be known by each instant: a point looks up its own.
park_facts as (
    select
        park_id,
        known_from_at,
        sum(number) over (partition by park_id order by known_from_at) as number
    from (
        select
            park_id,
            known_from_at,
            number
        from {{ ref('int_known_facts') }}
        union all
        -- A tranche is nothing to the ledgers before it is energised.
        select
            parks.park_id,
            timezone(parks.time_zone, cast(tranches.energised_date as timestamp)) as known_from_at,
            {{ fact_number(['tranches']) }} as number
        from {{ ref('stg_tranche') }} as tranches
        inner join {{ ref('stg_park') }} as parks on tranches.park_id = parks.park_id
        where tranches.energised_date is not null
        union all
        -- A rate is known once its day has ended.
        select
            parks.park_id,
            timezone(parks.time_zone, cast(rates.rate_date + 1 as timestamp)) as known_from_at,
            rates.number
        from {{ ref('stg_park') }} as parks
        cross join (
            select
                rate_date,
                sum({{ fact_number(['from_currency', 'to_currency', 'rate', 'source']) }}) as number
            from {{ ref('stg_fx_rate') }}
            group by rate_date
        ) as rates
    ) as facts
),

contract_facts as (
    select
        contract_id,
        known_from_at,
        sum(number) over (partition by contract_id order by known_from_at) as number
    from (
        -- An event that names the contract, whichever park's file tells of it.
        select
            events.contract_id,
            events.known_from_at,
            {{ fact_number(['events.park_id', 'events.event_id', 'events.recorded_at', 'events.content_hash']) }} as number
        from {{ ref('stg_credit_events') }} as events
        where events.contract_id is not null
        union all
        select
            facts.contract_id,
            facts.known_from_at,
            {{ fact_number(['facts']) }} as number
        from (
            -- What is stated anew is a fact of its own.
            select * exclude (known_until_at)
            from {{ ref('int_contract_facts') }}
        ) as facts
        union all
        select
            contracts.contract_id,
            timezone(parks.time_zone, cast(marks.observed_date + 1 as timestamp)) as known_from_at,
            {{ fact_number(['marks']) }} as number
        from {{ ref('stg_contract') }} as contracts
        inner join {{ ref('stg_park') }} as parks on contracts.park_id = parks.park_id
        inner join {{ ref('stg_backstop_terms') }} as backstop_terms on contracts.contract_id = backstop_terms.contract_id
        inner join {{ ref('stg_hardware_value') }} as marks on backstop_terms.rv_date >= marks.observed_date
    ) as facts
),

facts_of_parks as (
    select
        points.contract_id,
        points.point_no,
        sum(park_facts.number) as number
    from points
    inner join contract_parks on points.contract_id = contract_parks.contract_id
    asof join park_facts on contract_parks.park_id = park_facts.park_id and points.known_at >= park_facts.known_from_at
    group by points.contract_id, points.point_no
),

numbers as (
    select
        points.contract_id,
        points.point_no,
        sum({{ fact_number(['points']) }}) over (partition by points.contract_id order by points.point_no)
        + coalesce(contract_facts.number, 0) + coalesce(facts_of_parks.number, 0) as number
    from points
    left join facts_of_parks on points.contract_id = facts_of_parks.contract_id and points.point_no = facts_of_parks.point_no
    asof left join contract_facts on points.contract_id = contract_facts.contract_id and points.known_at >= contract_facts.known_from_at
),

-- What holds whenever it is known: terms as they are written, whose capacity is whose, and which sources quote which pairs.
terms as (
    {%- for model in [
        'stg_contract', 'stg_contract_version', 'stg_share_terms', 'stg_share_tier', 'stg_share_activation', 'stg_token_advance',
        'stg_backstop_terms', 'stg_backstop_ramp', 'stg_backstop_price', 'stg_backstop_termination'
    ] %}
    select
        rows_of.contract_id,
        {{ fact_number(["'" ~ model ~ "'", 'rows_of']) }} as number
    from {{ ref(model) }} as rows_of
    union all
    {%- endfor %}
    select
        contract_parks.contract_id,
        {{ fact_number(['tranches.tranche_id', 'tranches.contract_id']) }} as number
    from contract_parks
    inner join {{ ref('stg_tranche') }} as tranches on contract_parks.park_id = tranches.park_id
    union all
    select
        contract_parks.contract_id,
        {{ fact_number(['parks']) }} as number
    from contract_parks
    inner join {{ ref('stg_park') }} as parks on contract_parks.park_id = parks.park_id
    union all
    select
        contracts.contract_id,
        pairs.number
    from {{ ref('stg_contract') }} as contracts
    cross join (
        select sum({{ fact_number(['from_currency', 'to_currency', 'source']) }}) as number
        from (
            select distinct
                from_currency,
                to_currency,
                source
            from {{ ref('stg_fx_rate') }}
        ) as quoted
    ) as pairs
),

-- What a sealed close keeps, whatever is known since.
sealed as (
    {%- for table in ['sealed_close', 'sealed_line', 'sealed_step'] %}
    select
        rows_of.contract_id,
        rows_of.posting_month,
        {{ fact_number(["'" ~ table ~ "'", 'rows_of']) }} as number
    from {{ source('raw', table) }} as rows_of
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

fingerprints as (
    select
        numbers.contract_id,
        numbers.point_no,
        md5(concat_ws('|', '{{ ledger_code() }}', agreed.number, numbers.number)) as point_fingerprint
    from numbers
    inner join (
        select
            contract_id,
            sum(number) as number
        from terms
        group by contract_id
    ) as agreed
        on numbers.contract_id = agreed.contract_id
)

select
    fingerprints.contract_id,
    fingerprints.point_no,
    fingerprints.point_fingerprint,
    md5(cast(sum(
        {{ fact_number([
            'fingerprints.point_fingerprint', 'points.posting_month', 'points.is_posted', 'points.is_provisional', 'points.reopening_no'
        ]) }}
        + coalesce(kept.number, 0)
    ) over (partition by fingerprints.contract_id order by fingerprints.point_no) as varchar)) as history_fingerprint
from fingerprints
inner join {{ ref('int_knowledge_points') }} as points
    on fingerprints.contract_id = points.contract_id and fingerprints.point_no = points.point_no
left join (
    select
        contract_id,
        posting_month,
        sum(number) as number
    from sealed
    group by contract_id, posting_month
) as kept
    on points.contract_id = kept.contract_id and points.posting_month = kept.posting_month and points.is_posted
