-- The advances that a segment recoups, by the version of the advances in force on its last day.
with versions as (
    select
        segments.contract_id,
        segments.point_no,
        segments.share_id,
        segments.service_month,
        segments.segment_no,
        segments.from_date,
        segments.to_date,
        versions.amendment_id
    from {{ ref('int_share_segments') }} as segments
    inner join {{ ref('stg_contract_version') }} as versions
        on
            segments.contract_id = versions.contract_id
            and versions.instrument = 'token_advances'
            and segments.known_at >= versions.recorded_at
            and segments.to_date >= versions.valid_from
    qualify row_number() over (
        partition by segments.contract_id, segments.point_no, segments.share_id, segments.service_month, segments.segment_no
        order by versions.valid_from desc, versions.recorded_at desc, versions.amendment_id desc
    ) = 1
)

select
    versions.contract_id,
    versions.point_no,
    versions.share_id,
    versions.service_month,
    versions.segment_no,
    advances.advance_id,
    advances.recoup_order,
    cast(advances.principal_amount as decimal(38, 18)) as principal_amount,
    advances.recoupment_rate,
    advances.grant_date
from versions
inner join {{ ref('stg_token_advance') }} as advances
    on
        versions.contract_id = advances.contract_id
        and versions.amendment_id = advances.amendment_id
        and versions.share_id = advances.share_id
where
    advances.grant_date <= versions.to_date
    and (advances.expiry_date is null or advances.expiry_date >= versions.from_date)
