-- What may still be claimed after each ended month follows from, caps included: what lies ahead, what has been claimed, and what is left of the caps
-- by then.
with clock_points as (
    select *
    from {{ ref('int_knowledge_points') }}
    where is_clock
),

claimed as (
    select
        months.contract_id,
        months.service_month,
        sum({{ fact_number(['months.service_month', 'months.cumulative_claim_amount']) }}) over (
            partition by months.contract_id order by months.service_month
        ) as number
    from clock_points
    inner join {{ ref('int_backstop_months') }} as months
        on clock_points.contract_id = months.contract_id and clock_points.point_no = months.point_no
)

select
    exposures.contract_id,
    exposures.as_of_month,
    md5(concat_ws(
        '|', exposures.exposure_fingerprint, coalesce(endings.number, 0), coalesce(claimed.number, 0), {{ fact_number(['caps_left']) }}
    )) as max_exposure_fingerprint
from {{ ref('int_exposure_fingerprints') }} as exposures
left join (
    select
        terminations.contract_id,
        sum({{ fact_number(['terminations']) }}) as number
    from {{ ref('stg_backstop_termination') }} as terminations
    group by terminations.contract_id
) as endings
    on exposures.contract_id = endings.contract_id
left join {{ ref('int_backstop_caps_left') }} as caps_left
    on exposures.contract_id = caps_left.contract_id and exposures.as_of_month = caps_left.service_month
asof left join claimed
    on exposures.contract_id = claimed.contract_id and exposures.as_of_month >= claimed.service_month
