-- The segments that a true-up takes together: those of the year's active months, in parts of one version of the terms each.
with month_ends as (
    select
        segments.contract_id,
        segments.point_no,
        segments.share_id,
        segments.service_month,
        segments.true_up_frequency,
        segments.contract_end_date,
        {{ share_year_from('segments') }} as year_from_date
    from {{ ref('int_share_segments') }} as segments
    qualify coalesce(segments.service_month != lead(segments.service_month) over (
        partition by segments.contract_id, segments.point_no, segments.share_id order by segments.sequence_no
    ), true)
),

-- The last service month of a year with a true-up: the year's, or the contract's.
closing_months as (
    select
        contract_id,
        point_no,
        share_id,
        service_month as true_up_month,
        year_from_date
    from month_ends
    where
        true_up_frequency is not null
        and service_month = date_trunc('month', least(cast(year_from_date + interval 12 month as date) - 1, contract_end_date))
),

members as (
    select
        closing_months.*,
        segments.service_month,
        segments.segment_no,
        -- Where the segment stands as the true-up knows it.
        segments.point_no as segment_point_no,
        segments.sequence_no,
        segments.amendment_id,
        segments.version_from_date,
        segments.contract_month,
        segments.share_basis,
        segments.combine,
        coalesce(segments.base_follows_share, false) as base_follows_share,
        bases.gpu_hours,
        bases.revenue_amount,
        cast(bases.revenue_amount + bases.carried_in_amount - bases.carried_out_amount as decimal(38, 18)) as earned_revenue_amount,
        bases.floor_amount,
        bases.breakpoint_amount,
        bases.recouped_before_share_amount,
        bases.cumulative_base_before_amount as segment_cumulative_base_before_amount,
        case when segments.minimum_period = 'month' then {{ prorated('segments.minimum_amount', 'segments') }} end as minimum_amount,
        case when segments.period_cap_period = 'month' then {{ prorated('segments.period_cap_amount', 'segments') }} end as cap_amount
    from closing_months
    inner join {{ ref('int_known_months') }} as known_months
        on
            closing_months.contract_id = known_months.contract_id
            and closing_months.point_no = known_months.point_no
            and known_months.service_month between closing_months.year_from_date and closing_months.true_up_month
    inner join {{ ref('int_share_segments') }} as segments
        on
            closing_months.contract_id = segments.contract_id
            and closing_months.share_id = segments.share_id
            and known_months.state_point_no = segments.point_no
            and known_months.service_month = segments.service_month
    inner join {{ ref('int_share_bases') }} as bases
        on
            segments.contract_id = bases.contract_id
            and segments.point_no = bases.point_no
            and segments.share_id = bases.share_id
            and segments.service_month = bases.service_month
            and segments.segment_no = bases.segment_no
),

years as (
    select
        contract_id,
        point_no,
        share_id,
        true_up_month,
        list_sort(list(distinct version_from_date)) as versions,
        -- From where the year began, also where its first months earned nothing.
        arg_min(segment_cumulative_base_before_amount, sequence_no) as cumulative_base_before_amount
    from members
    group by contract_id, point_no, share_id, true_up_month
)

select
    members.* exclude (version_from_date, segment_cumulative_base_before_amount),
    -- Parts are numbered apart from the segments of a month.
    cast(1000 + list_position(years.versions, members.version_from_date) as integer) as part_no,
    years.cumulative_base_before_amount
from members
inner join years
    on
        members.contract_id = years.contract_id
        and members.point_no = years.point_no
        and members.share_id = years.share_id
        and members.true_up_month = years.true_up_month
left join {{ ref('int_share_activations') }} as activations
    on
        members.contract_id = activations.contract_id
        and members.segment_point_no = activations.point_no
        and members.share_id = activations.share_id
        and members.service_month = activations.service_month
where coalesce(activations.is_active, true)
