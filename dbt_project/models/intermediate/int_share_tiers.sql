{{ config(
    materialized='incremental',
    incremental_strategy='known_points',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_points() }}"
) }}

-- The base of each segment, and of each part of a true-up's year, laid over the tiers, and what each slice earns. Slices of one axis add up to
-- the base. Tiers on the share paid so far hang on the months before: int_share_month_states lays the base over them, and cuts by them what stands
-- here. Where the base itself hangs on the share, it lays the base over all axes, by the weights that stand here for those that do not follow from
-- it: of each axis a row for each tier with the revenue, or the bands of price, that fall under it.
with month_segments as (
    select
        segments.contract_id,
        segments.point_no,
        segments.share_id,
        segments.service_month,
        segments.segment_no,
        segments.amendment_id,
        segments.contract_month,
        segments.combine,
        coalesce(segments.base_follows_share, false) as base_follows_share,
        bases.revenue_amount,
        cast(bases.revenue_amount + bases.carried_in_amount - bases.carried_out_amount as decimal(38, 18)) as earned_revenue_amount,
        bases.base_amount,
        bases.cumulative_base_before_amount,
        bases.cumulative_base_after_amount,
        -- A cliff looks at the whole month.
        last_value(bases.cumulative_base_after_amount) over month_window as month_cumulative_base_amount,
        sum(bases.base_amount) over month_window as month_base_amount,
        sum(bases.gpu_hours) over month_window as month_gpu_hours,
        segments.service_month as first_service_month,
        false as is_true_up
    from {{ ref('int_share_segments') }} as segments
    inner join {{ ref('int_share_bases') }} as bases
        on
            segments.contract_id = bases.contract_id
            and segments.point_no = bases.point_no
            and segments.share_id = bases.share_id
            and segments.service_month = bases.service_month
            and segments.segment_no = bases.segment_no
    window month_window as (
        partition by segments.contract_id, segments.point_no, segments.share_id, segments.service_month
        order by segments.segment_no rows between unbounded preceding and unbounded following
    )
),

year_parts as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        segment_no,
        amendment_id,
        null::integer as contract_month,
        combine,
        base_follows_share,
        revenue_amount,
        revenue_amount as earned_revenue_amount,
        base_amount,
        cumulative_base_before_amount,
        cumulative_base_after_amount,
        last_value(cumulative_base_after_amount) over year_window as month_cumulative_base_amount,
        sum(base_amount) over year_window as month_base_amount,
        sum(gpu_hours) over year_window as month_gpu_hours,
        year_from_date as first_service_month,
        true as is_true_up
    from {{ ref('int_share_true_up_parts') }}
    window year_window as (
        partition by contract_id, point_no, share_id, service_month
        order by segment_no rows between unbounded preceding and unbounded following
    )
),

all_segments as (
    select * from month_segments
    union all by name
    select * from year_parts
),

segments as (
    select all_segments.*
    from all_segments
    {{ points_to_build('all_segments') }}
),

tiers as (
    select
        *,
        coalesce(from_month, 1) as first_month,
        coalesce(to_month, 2147483647) as last_month,
        -- Below the first bound the first tier holds.
        row_number() over tier_order = 1 as is_first,
        row_number() over (partition by contract_id, share_id, amendment_id order by axis) = 1 as is_first_axis_row,
        dense_rank() over (partition by contract_id, share_id, amendment_id order by axis) as axis_no
    from (
        select
            *,
            bool_or(axis = 'cumulative_share_paid') over (partition by contract_id, share_id, amendment_id) as is_cut_by_share_paid
        from {{ ref('stg_share_tier') }}
    ) as all_tiers
    where axis != 'cumulative_share_paid'
    window tier_order as (
        partition by contract_id, share_id, amendment_id, axis order by coalesce(from_value, 0), coalesce(from_date, date '0001-01-01'), tier_no
    )
),

segment_tiers as (
    select
        segments.*,
        tiers.axis,
        tiers.axis_no,
        tiers.tier_no,
        tiers.rate,
        tiers.application,
        tiers.is_first,
        tiers.is_cut_by_share_paid,
        min(tiers.tier_no) filter (where tiers.is_first) over (
            partition by segments.contract_id, segments.point_no, segments.share_id, segments.service_month, segments.segment_no, tiers.axis
        ) as first_tier_no,
        tiers.first_month,
        tiers.last_month,
        tiers.from_value,
        tiers.to_value
    from segments
    inner join tiers
        on
            segments.contract_id = tiers.contract_id
            and segments.share_id = tiers.share_id
            and segments.amendment_id = tiers.amendment_id
),

-- Months: one rate for the whole segment.
month_slices as (
    select
        *,
        base_amount as slice_amount,
        earned_revenue_amount as weight_amount,
        true as takes_all
    from segment_tiers
    where axis = 'contract_month' and contract_month between first_month and last_month
),

members as (
    select
        members.*,
        members.earned_revenue_amount = members.revenue_amount as is_uncarried
    from {{ ref('int_share_true_up_members') }} as members
),

-- The segments of the months, and those that a true-up takes together, which may stand as an earlier point knows them: what they earned is
-- picked out first, of all that was earned ever.
priced_segments as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        segment_no,
        amendment_id
    from segments
    where not is_true_up
    union
    select
        members.contract_id,
        members.segment_point_no as point_no,
        members.share_id,
        members.service_month,
        members.segment_no,
        members.amendment_id
    from members
    inner join segments
        on
            members.contract_id = segments.contract_id
            and members.point_no = segments.point_no
            and members.share_id = segments.share_id
            and members.true_up_month = segments.service_month
            and members.part_no = segments.segment_no
),

revenue as (
    select revenue.*
    from {{ ref('int_share_revenue') }} as revenue
    semi join priced_segments
        on
            revenue.contract_id = priced_segments.contract_id
            and revenue.point_no = priced_segments.point_no
            and revenue.share_id = priced_segments.share_id
            and revenue.service_month = priced_segments.service_month
            and revenue.segment_no = priced_segments.segment_no
),

-- Dates: the rate of each day. After a floor or breakpoint the base lies over the days as the revenue does.
segment_date_revenue as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        segment_no,
        date_tier_no,
        sum(measured_amount + excluded_amount) as tier_revenue_amount
    from revenue
    where date_tier_no is not null
    group by contract_id, point_no, share_id, service_month, segment_no, date_tier_no
),

first_date_tiers as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        segment_no,
        arg_min(date_tier_no, from_date) as first_tier_no
    from {{ ref('int_share_slices') }}
    where date_tier_no is not null
    group by contract_id, point_no, share_id, service_month, segment_no
),

date_revenue as (
    select * from segment_date_revenue
    union all
    -- A year's part: what its segments earned under each tier, by month or by date.
    select
        members.contract_id,
        members.point_no,
        members.share_id,
        members.true_up_month as service_month,
        members.part_no as segment_no,
        tiers.tier_no as date_tier_no,
        sum(case
            when tiers.axis = 'contract_month' then members.earned_revenue_amount
            when members.is_uncarried then coalesce(revenue.tier_revenue_amount, 0)
            when members.revenue_amount != 0
                then main.exact_ratio(members.earned_revenue_amount, coalesce(revenue.tier_revenue_amount, 0), members.revenue_amount)
            when tiers.tier_no = first_date_tiers.first_tier_no then members.earned_revenue_amount
            else 0
        end) as tier_revenue_amount
    from members
    inner join tiers
        on
            members.contract_id = tiers.contract_id
            and members.share_id = tiers.share_id
            and members.amendment_id = tiers.amendment_id
            and (
                tiers.axis = 'date'
                or (tiers.axis = 'contract_month' and members.contract_month between tiers.first_month and tiers.last_month)
            )
    left join segment_date_revenue as revenue
        on
            members.contract_id = revenue.contract_id
            and members.segment_point_no = revenue.point_no
            and members.share_id = revenue.share_id
            and members.service_month = revenue.service_month
            and members.segment_no = revenue.segment_no
            and tiers.tier_no = revenue.date_tier_no
    left join first_date_tiers
        on
            members.contract_id = first_date_tiers.contract_id
            and members.segment_point_no = first_date_tiers.point_no
            and members.share_id = first_date_tiers.share_id
            and members.service_month = first_date_tiers.service_month
            and members.segment_no = first_date_tiers.segment_no
    group by members.contract_id, members.point_no, members.share_id, members.true_up_month, members.part_no, tiers.tier_no
),

date_slices as (
    select
        segment_tiers.*,
        segment_tiers.tier_no = coalesce(first_date_tiers.first_tier_no, segment_tiers.first_tier_no) as takes_all,
        case
            when segment_tiers.base_amount = segment_tiers.revenue_amount then coalesce(date_revenue.tier_revenue_amount, 0)
            when segment_tiers.revenue_amount != 0
                then main.exact_ratio(
                    segment_tiers.base_amount, coalesce(date_revenue.tier_revenue_amount, 0), segment_tiers.revenue_amount
                )
            when takes_all then segment_tiers.base_amount
            else 0
        end as slice_amount,
        case
            when not segment_tiers.base_follows_share then 0
            when segment_tiers.revenue_amount != 0
                then main.exact_ratio(
                    segment_tiers.earned_revenue_amount, coalesce(date_revenue.tier_revenue_amount, 0), segment_tiers.revenue_amount
                )
            when takes_all then segment_tiers.earned_revenue_amount
            else 0
        end as weight_amount
    from segment_tiers
    left join date_revenue
        on
            segment_tiers.contract_id = date_revenue.contract_id
            and segment_tiers.point_no = date_revenue.point_no
            and segment_tiers.share_id = date_revenue.share_id
            and segment_tiers.service_month = date_revenue.service_month
            and segment_tiers.segment_no = date_revenue.segment_no
            and segment_tiers.tier_no = date_revenue.date_tier_no
    left join first_date_tiers
        on
            segment_tiers.contract_id = first_date_tiers.contract_id
            and segment_tiers.point_no = first_date_tiers.point_no
            and segment_tiers.share_id = first_date_tiers.share_id
            and segment_tiers.service_month = first_date_tiers.service_month
            and segment_tiers.segment_no = first_date_tiers.segment_no
    where segment_tiers.axis = 'date' or (segment_tiers.axis = 'contract_month' and segment_tiers.is_true_up)
),

-- Cumulative base, marginal: what lies between the cumulative before and after; a negative base unwinds the last slices first.
cumulative_slices as (
    select
        *,
        sign(base_amount) * greatest(
            0,
            least(
                greatest(cumulative_base_before_amount, cumulative_base_after_amount),
                coalesce(to_value, greatest(cumulative_base_before_amount, cumulative_base_after_amount))
            )
            - greatest(
                least(cumulative_base_before_amount, cumulative_base_after_amount),
                case when is_first then least(cumulative_base_before_amount, cumulative_base_after_amount) else from_value end
            )
        ) as slice_amount
    from segment_tiers
    where axis = 'cumulative_base' and application = 'marginal'
),

cumulative_cliffs as (
    select
        *,
        base_amount as slice_amount
    from segment_tiers
    where
        axis = 'cumulative_base'
        and application = 'cliff'
        and (is_first or month_cumulative_base_amount >= from_value)
        and (to_value is null or month_cumulative_base_amount < to_value)
),

-- Prices, marginal: hours times the part of each lease's price inside the tier, scaled to the base so that adjustments follow.
segment_price_bands as (
    select
        priced_segments.contract_id,
        priced_segments.point_no,
        priced_segments.share_id,
        priced_segments.service_month,
        priced_segments.segment_no,
        tiers.tier_no,
        sum(main.exact_ratio(
            revenue.gpu_hours,
            greatest(
                0,
                least(revenue.translated_price_per_gpu_hour, coalesce(tiers.to_value, revenue.translated_price_per_gpu_hour))
                - case when tiers.is_first then 0 else tiers.from_value end
            ),
            1
        )) as band_amount
    from priced_segments
    inner join tiers
        on
            priced_segments.contract_id = tiers.contract_id
            and priced_segments.share_id = tiers.share_id
            and priced_segments.amendment_id = tiers.amendment_id
    inner join revenue
        on
            priced_segments.contract_id = revenue.contract_id
            and priced_segments.point_no = revenue.point_no
            and priced_segments.share_id = revenue.share_id
            and priced_segments.service_month = revenue.service_month
            and priced_segments.segment_no = revenue.segment_no
    where tiers.axis = 'price_per_gpu_hour' and tiers.application = 'marginal' and revenue.component = 'gross'
    group by all
),

price_bands as (
    select * from segment_price_bands
    union all
    select
        members.contract_id,
        members.point_no,
        members.share_id,
        members.true_up_month as service_month,
        members.part_no as segment_no,
        bands.tier_no,
        sum(bands.band_amount) as band_amount
    from members
    inner join segment_price_bands as bands
        on
            members.contract_id = bands.contract_id
            and members.segment_point_no = bands.point_no
            and members.share_id = bands.share_id
            and members.service_month = bands.service_month
            and members.segment_no = bands.segment_no
    group by members.contract_id, members.point_no, members.share_id, members.true_up_month, members.part_no, bands.tier_no
),

price_totals as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        segment_no,
        sum(band_amount) as total_amount
    from price_bands
    group by contract_id, point_no, share_id, service_month, segment_no
),

price_slices as (
    select
        segment_tiers.*,
        case
            when coalesce(totals.total_amount, 0) != 0
                then main.exact_ratio(segment_tiers.base_amount, coalesce(price_bands.band_amount, 0), totals.total_amount)
            when segment_tiers.is_first then segment_tiers.base_amount
            else 0
        end as slice_amount,
        coalesce(price_bands.band_amount, 0) as weight_amount,
        segment_tiers.is_first as takes_all
    from segment_tiers
    left join price_bands
        on
            segment_tiers.contract_id = price_bands.contract_id
            and segment_tiers.point_no = price_bands.point_no
            and segment_tiers.share_id = price_bands.share_id
            and segment_tiers.service_month = price_bands.service_month
            and segment_tiers.segment_no = price_bands.segment_no
            and segment_tiers.tier_no = price_bands.tier_no
    left join price_totals as totals
        on
            segment_tiers.contract_id = totals.contract_id
            and segment_tiers.point_no = totals.point_no
            and segment_tiers.share_id = totals.share_id
            and segment_tiers.service_month = totals.service_month
            and segment_tiers.segment_no = totals.segment_no
    where segment_tiers.axis = 'price_per_gpu_hour' and segment_tiers.application = 'marginal'
),

price_cliffs as (
    select
        *,
        base_amount as slice_amount
    from segment_tiers
    where
        axis = 'price_per_gpu_hour'
        and application = 'cliff'
        and case
            when month_gpu_hours = 0 then is_first
            else
                (is_first or month_base_amount >= main.exact_ratio(month_gpu_hours, from_value, 1))
                and (to_value is null or month_base_amount < main.exact_ratio(month_gpu_hours, to_value, 1))
        end
),

-- Occupancy, a cliff by nature: what billing leases hold of what the tranches had to offer in the month.
supplies as (
    select
        segments.contract_id,
        segments.point_no,
        segments.share_id,
        segments.service_month,
        segments.is_true_up,
        sum(supply.available_gpu_hours) as available_gpu_hours,
        sum(supply.leased_gpu_hours) as leased_gpu_hours
    from (
        select distinct
            contract_id,
            point_no,
            share_id,
            service_month,
            is_true_up,
            first_service_month
        from segments
    ) as segments
    inner join {{ ref('int_supply_months') }} as supply
        on
            segments.contract_id = supply.contract_id
            and segments.point_no = supply.point_no
            and supply.service_month between segments.first_service_month and segments.service_month
    group by segments.contract_id, segments.point_no, segments.share_id, segments.service_month, segments.is_true_up
),

occupancy_cliffs as (
    select
        segment_tiers.*,
        segment_tiers.base_amount as slice_amount,
        1 as weight_amount,
        true as takes_all
    from segment_tiers
    left join supplies as supply
        on
            segment_tiers.contract_id = supply.contract_id
            and segment_tiers.point_no = supply.point_no
            and segment_tiers.share_id = supply.share_id
            and segment_tiers.service_month = supply.service_month
            and segment_tiers.is_true_up = supply.is_true_up
    where
        segment_tiers.axis = 'occupancy'
        and case
            when coalesce(supply.available_gpu_hours, 0) <= 0 then segment_tiers.is_first
            else
                (segment_tiers.is_first or supply.leased_gpu_hours >= main.exact_product(supply.available_gpu_hours, segment_tiers.from_value))
                and (
                    segment_tiers.to_value is null
                    or supply.leased_gpu_hours < main.exact_product(supply.available_gpu_hours, segment_tiers.to_value)
                )
        end
),

axis_slices as (
    select * from month_slices
    union all by name
    select * from date_slices
    union all by name
    select * from cumulative_slices
    union all by name
    select * from cumulative_cliffs
    union all by name
    select * from price_slices
    union all by name
    select * from price_cliffs
    union all by name
    select * from occupancy_cliffs
),

-- Two axes: the slices of one are cut by the other in proportion, and each cut takes the smaller or the larger rate.
cuts as (
    select
        first_axis.contract_id,
        first_axis.point_no,
        first_axis.share_id,
        first_axis.service_month,
        first_axis.segment_no,
        first_axis.is_true_up,
        first_axis.is_cut_by_share_paid,
        case
            when second_axis.tier_no is null then first_axis.tier_no
            when first_axis.combine = 'min' and second_axis.rate < first_axis.rate then second_axis.tier_no
            when first_axis.combine = 'max' and second_axis.rate > first_axis.rate then second_axis.tier_no
            else first_axis.tier_no
        end as tier_no,
        case
            when second_axis.tier_no is null then first_axis.rate
            when first_axis.combine = 'min' then least(first_axis.rate, second_axis.rate)
            else greatest(first_axis.rate, second_axis.rate)
        end as rate,
        cast(case
            when second_axis.tier_no is null then first_axis.slice_amount
            when first_axis.base_amount = 0 then 0
            else main.exact_ratio(first_axis.slice_amount, second_axis.slice_amount, first_axis.base_amount)
        end as decimal(38, 18)) as slice_amount
    from axis_slices as first_axis
    left join axis_slices as second_axis
        on
            first_axis.contract_id = second_axis.contract_id
            and first_axis.point_no = second_axis.point_no
            and first_axis.share_id = second_axis.share_id
            and first_axis.service_month = second_axis.service_month
            and first_axis.segment_no = second_axis.segment_no
            and second_axis.axis_no = 2
    where first_axis.axis_no = 1 and not first_axis.base_follows_share
)

select
    contract_id,
    point_no,
    share_id,
    service_month,
    segment_no,
    is_true_up,
    is_cut_by_share_paid,
    tier_no,
    rate,
    cast(null as varchar) as axis,
    sum(slice_amount) as slice_amount,
    sum(main.exact_product(slice_amount, rate)) as share_amount,
    cast(null as decimal(38, 18)) as weight_amount,
    cast(null as boolean) as takes_all
from cuts
where slice_amount != 0
group by contract_id, point_no, share_id, service_month, segment_no, is_true_up, is_cut_by_share_paid, tier_no, rate
union all by name
-- Of a year's part only its occupancy: what its months earned is put together where it is known which of them earned.
select
    contract_id,
    point_no,
    share_id,
    service_month,
    segment_no,
    is_true_up,
    true as is_cut_by_share_paid,
    tier_no,
    rate,
    axis,
    cast(null as decimal(38, 18)) as slice_amount,
    cast(null as decimal(38, 18)) as share_amount,
    cast(weight_amount as decimal(38, 18)) as weight_amount,
    takes_all
from axis_slices
where base_follows_share and (weight_amount != 0 or takes_all) and (axis = 'occupancy' or not is_true_up)
