-- Each advance as known at each point: what was granted and when, and when its recoupment ended. A version that no longer names it writes it off.
with known_versions as (
    select
        points.contract_id,
        points.point_no,
        points.month_end_date,
        versions.amendment_id,
        versions.valid_from
    from {{ ref('int_knowledge_points') }} as points
    inner join {{ ref('stg_contract_version') }} as versions
        on
            points.contract_id = versions.contract_id
            and versions.instrument = 'token_advances'
            and points.known_at >= versions.recorded_at
            and points.month_end_date >= versions.valid_from
    -- Two versions from the same day: the one recorded last holds.
    qualify row_number() over (
        partition by points.contract_id, points.point_no, versions.valid_from order by versions.recorded_at desc, versions.amendment_id desc
    ) = 1
),

versions as (
    select
        *,
        lead(valid_from) over (partition by contract_id, point_no order by valid_from) as next_valid_from
    from known_versions
),

-- Recoupment ends with the expiry (never before the version that sets it), or with the version that drops the advance.
ends as (
    select
        versions.point_no,
        versions.next_valid_from,
        advances.*,
        case when advances.expiry_date is not null then greatest(advances.expiry_date + 1, versions.valid_from) end as expired_date
    from versions
    inner join {{ ref('stg_token_advance') }} as advances
        on versions.contract_id = advances.contract_id and versions.amendment_id = advances.amendment_id
),

advances as (
    select
        *,
        least(expired_date, next_valid_from) as ended_date,
        expired_date is not null and (next_valid_from is null or expired_date <= next_valid_from) as is_expiry
    from ends
)

select
    versions.contract_id,
    versions.point_no,
    advances.advance_id,
    arg_max(advances.share_id, versions.valid_from) as share_id,
    arg_max(advances.advance_type, versions.valid_from) as advance_type,
    arg_max(advances.principal_amount, versions.valid_from) as granted_amount,
    min(advances.grant_date) as grant_date,
    arg_max_null(advances.ended_date, versions.valid_from) as ended_date,
    arg_max(advances.is_expiry, versions.valid_from) as is_expiry
from versions
inner join advances
    on
        versions.contract_id = advances.contract_id
        and versions.point_no = advances.point_no
        and versions.amendment_id = advances.amendment_id
where advances.grant_date <= versions.month_end_date
group by versions.contract_id, versions.point_no, advances.advance_id
-- One that is dropped by the day of its grant is never granted.
having coalesce(arg_max_null(advances.ended_date, versions.valid_from) > min(advances.grant_date), true)
