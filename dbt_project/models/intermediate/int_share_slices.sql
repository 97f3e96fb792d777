-- A segment of the share, cut at the first day of each tier where rates follow dates; elsewhere a segment is one slice.
select
    segments.* exclude (from_date, to_date, from_at, to_at),
    tiers.tier_no as date_tier_no,
    greatest(segments.from_date, tiers.from_date) as from_date,
    least(segments.to_date, tiers.to_date) as to_date,
    timezone(segments.time_zone, cast(greatest(segments.from_date, tiers.from_date) as timestamp)) as from_at,
    timezone(segments.time_zone, cast(least(segments.to_date, tiers.to_date) + 1 as timestamp)) as to_at
from {{ ref('int_share_segments') }} as segments
left join {{ ref('stg_share_tier') }} as tiers
    on
        segments.contract_id = tiers.contract_id
        and segments.share_id = tiers.share_id
        and segments.amendment_id = tiers.amendment_id
        and tiers.axis = 'date'
where
    tiers.tier_no is null
    -- greatest() and least() pass over nulls: a bound that is not given does not bind.
    or greatest(segments.from_date, tiers.from_date) <= least(segments.to_date, tiers.to_date)
