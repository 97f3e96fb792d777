-- Claims accrued and what is left of the lifetime cap never exceed it; what is left is never negative; nor is the exposure above it.
{{ config(meta={'dagster': {'ref': {'name': 'fct_backstop_cap_month'}}}) }}

with largest_caps as (
    select
        contract_id,
        max(lifetime_cap_amount) as lifetime_cap_amount
    from {{ ref('stg_backstop_terms') }}
    where lifetime_cap_amount is not null
    group by contract_id
    -- A cap that moves with an index is another one each month.
    having count(lifetime_cap_index_id) = 0
)

select caps.*
from {{ ref('fct_backstop_cap_month') }} as caps
inner join largest_caps on caps.contract_id = largest_caps.contract_id
where
    caps.lifetime_cap_left_amount < 0
    or caps.claimed_to_date_amount + caps.lifetime_cap_left_amount > largest_caps.lifetime_cap_amount
    -- What is left may end in parts of a minor unit, the exposure is rounded: up to half a yen, or half a cent.
    or caps.max_exposure_amount > caps.lifetime_cap_left_amount + 0.5
