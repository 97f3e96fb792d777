with clock_points as (
    select
        contract_id,
        point_no,
        currency_code,
        month_end_date
    from {{ ref('int_knowledge_points') }}
    where is_clock
),

advances as (
    select
        advances.*,
        clock_points.currency_code,
        clock_points.month_end_date
    from {{ ref('int_advances') }} as advances
    inner join clock_points on advances.contract_id = clock_points.contract_id and advances.point_no = clock_points.point_no
),

months as (
    select
        advances.*,
        cast(unnest(generate_series(
            date_trunc('month', advances.grant_date), date_trunc('month', advances.month_end_date), interval 1 month
        )) as date) as service_month
    from advances
),

moved as (
    select
        months.contract_id,
        months.advance_id,
        months.service_month,
        months.currency_code,
        months.advance_type,
        months.is_expiry,
        case when months.service_month = date_trunc('month', months.grant_date) then months.granted_amount else 0 end as granted_amount,
        coalesce(recoupments.recouped_amount, 0) as recouped_amount,
        coalesce(interest.interest_amount, 0) as interest_amount,
        sum(coalesce(recoupments.recouped_amount, 0)) over life as recouped_to_date_amount,
        months.granted_amount as principal_amount,
        coalesce(months.service_month >= date_trunc('month', months.ended_date), false) as has_ended,
        coalesce(months.service_month = date_trunc('month', months.ended_date), false) as ends
    from months
    left join {{ ref('int_known_months') }} as known_months
        on
            months.contract_id = known_months.contract_id
            and months.point_no = known_months.point_no
            and months.service_month = known_months.service_month
    left join {{ ref('int_share_recoupments') }} as recoupments
        on
            months.contract_id = recoupments.contract_id
            and known_months.state_point_no = recoupments.point_no
            and months.advance_id = recoupments.advance_id
            and months.service_month = recoupments.service_month
    left join {{ ref('int_advance_interest') }} as interest
        on
            months.contract_id = interest.contract_id
            and months.point_no = interest.point_no
            and months.advance_id = interest.advance_id
            and months.service_month = interest.service_month
    window life as (partition by months.contract_id, months.advance_id order by months.service_month)
)

select
    contract_id,
    advance_id,
    service_month,
    advance_type,
    cast(case
        when service_month = min(service_month) over (partition by contract_id, advance_id) then 0
        when has_ended and not ends then 0
        else principal_amount - recouped_to_date_amount + recouped_amount
    end as decimal(18, 2)) as opening_amount,
    cast(granted_amount as decimal(18, 2)) as granted_amount,
    cast(recouped_amount as decimal(18, 2)) as recouped_amount,
    cast(case when ends and is_expiry then principal_amount - recouped_to_date_amount else 0 end as decimal(18, 2)) as expired_amount,
    cast(case when ends and not is_expiry then principal_amount - recouped_to_date_amount else 0 end as decimal(18, 2)) as written_off_amount,
    cast(case when has_ended then 0 else principal_amount - recouped_to_date_amount end as decimal(18, 2)) as unrecouped_amount,
    cast(interest_amount as decimal(18, 2)) as interest_amount,
    currency_code
from moved
