-- What the backstop may still cost never rises from one month to the next, unless an amendment became known or came into force in between,
-- capacity was recalled, an index moved the price, or a tranche was energised before its plan. It warns: parties may agree on other reasons.
{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'fct_backstop_cap_month'}}}) }}

with exposures as (
    select
        caps.contract_id,
        caps.service_month,
        closes.ended_at,
        caps.max_exposure_amount,
        lag(caps.max_exposure_amount) over contract_months as amount_before,
        lag(closes.ended_at) over contract_months as ended_before_at
    from {{ ref('fct_backstop_cap_month') }} as caps
    inner join {{ ref('int_closes') }} as closes
        on caps.contract_id = closes.contract_id and caps.service_month = closes.posting_month
    window contract_months as (partition by caps.contract_id order by caps.service_month)
),

reasons as (
    select
        contract_id,
        recorded_at as known_at
    from {{ ref('stg_contract_version') }}
    union all
    select
        versions.contract_id,
        timezone(parks.time_zone, cast(versions.valid_from as timestamp)) as known_at
    from {{ ref('stg_contract_version') }} as versions
    inner join {{ ref('stg_contract') }} as contracts on versions.contract_id = contracts.contract_id
    inner join {{ ref('stg_park') }} as parks on contracts.park_id = parks.park_id
    union all
    select
        contracts.contract_id,
        events.known_from_at as known_at
    from {{ ref('stg_contract') }} as contracts
    inner join {{ ref('stg_credit_events') }} as events on contracts.park_id = events.park_id
    where events.kind in ('withdrawal', 'recall', 'price_index', 'acceptance', 'commercial_operation')
    union all
    select
        tranches.contract_id,
        timezone(parks.time_zone, cast(tranches.energised_date as timestamp)) as known_at
    from {{ ref('stg_tranche') }} as tranches
    inner join {{ ref('stg_park') }} as parks on tranches.park_id = parks.park_id
    where tranches.energised_date < tranches.planned_date
)

select exposures.*
from exposures
anti join reasons
    on
        exposures.contract_id = reasons.contract_id
        and exposures.ended_before_at <= reasons.known_at
        and exposures.ended_at >= reasons.known_at
-- Exposures are rounded.
where exposures.max_exposure_amount > exposures.amount_before + 0.5
