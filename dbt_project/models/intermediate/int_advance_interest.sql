-- Interest on advances: simple, ACT/365F, on what was unrecouped when the month began, from the day after the grant to the day on which it is given
-- up, at the rate of the version in force on the month's last day.
with advances as (
    select
        advances.*,
        points.posting_month,
        points.known_at,
        points.currency_code,
        contracts.minor_unit_digits
    from {{ ref('int_advances') }} as advances
    inner join {{ ref('int_knowledge_points') }} as points
        on advances.contract_id = points.contract_id and advances.point_no = points.point_no
    inner join {{ ref('stg_contract') }} as contracts on advances.contract_id = contracts.contract_id
    where (advances.contract_id, advances.advance_id) in (
        select (bearing.contract_id, bearing.advance_id)
        from {{ ref('stg_token_advance') }} as bearing
        where bearing.interest_rate > 0
    )
),

months as (
    select
        *,
        cast(unnest(generate_series(date_trunc('month', grant_date), posting_month, interval 1 month)) as date) as service_month
    from advances
),

-- The version in force on the month's last day, or on the last day before the advance is given up.
rated as (
    select
        months.*,
        least(last_day(months.service_month), months.ended_date - 1) as to_date,
        versions.amendment_id
    from months
    inner join {{ ref('stg_contract_version') }} as versions
        on
            months.contract_id = versions.contract_id
            and versions.instrument = 'token_advances'
            and months.known_at >= versions.recorded_at
            and versions.valid_from <= least(last_day(months.service_month), months.ended_date - 1)
    qualify row_number() over (
        partition by months.contract_id, months.point_no, months.advance_id, months.service_month
        order by versions.valid_from desc, versions.recorded_at desc, versions.amendment_id desc
    ) = 1
),

recouped as (
    select
        rated.contract_id,
        rated.point_no,
        rated.advance_id,
        rated.service_month,
        sum(recoupments.recouped_amount) as recouped_amount
    from rated
    inner join {{ ref('int_known_months') }} as earlier
        on rated.contract_id = earlier.contract_id and rated.point_no = earlier.point_no and rated.service_month > earlier.service_month
    inner join {{ ref('int_share_recoupments') }} as recoupments
        on
            rated.contract_id = recoupments.contract_id
            and earlier.state_point_no = recoupments.point_no
            and rated.advance_id = recoupments.advance_id
            and earlier.service_month = recoupments.service_month
    group by rated.contract_id, rated.point_no, rated.advance_id, rated.service_month
),

bearing as (
    select
        rated.*,
        terms.interest_rate,
        rated.granted_amount - coalesce(recouped.recouped_amount, 0) as unrecouped_amount,
        rated.to_date - greatest(rated.grant_date + 1, rated.service_month) + 1 as day_count
    from rated
    inner join {{ ref('stg_token_advance') }} as terms
        on
            rated.contract_id = terms.contract_id
            and rated.amendment_id = terms.amendment_id
            and rated.advance_id = terms.advance_id
    left join recouped
        on
            rated.contract_id = recouped.contract_id
            and rated.point_no = recouped.point_no
            and rated.advance_id = recouped.advance_id
            and rated.service_month = recouped.service_month
    where terms.interest_rate > 0
)

select
    contract_id,
    point_no,
    advance_id,
    share_id,
    service_month,
    amendment_id,
    currency_code,
    cast(unrecouped_amount as decimal(18, 2)) as unrecouped_amount,
    interest_rate,
    cast(day_count as integer) as day_count,
    main.rounded_money(main.exact_ratio(unrecouped_amount * interest_rate, day_count, 365), minor_unit_digits) as interest_amount
from bearing
where day_count > 0 and unrecouped_amount > 0
