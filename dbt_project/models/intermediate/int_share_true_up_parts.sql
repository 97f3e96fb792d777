-- The year's base under each version of the terms: floor and breakpoint taken off the year's revenue, not month by month.
with sums as (
    select
        contract_id,
        point_no,
        share_id,
        true_up_month as service_month,
        part_no as segment_no,
        any_value(year_from_date) as year_from_date,
        any_value(amendment_id) as amendment_id,
        any_value(share_basis) as share_basis,
        any_value(combine) as combine,
        bool_or(base_follows_share) as base_follows_share,
        any_value(cumulative_base_before_amount) as year_cumulative_base_amount,
        sum(gpu_hours) as gpu_hours,
        sum(earned_revenue_amount) as revenue_amount,
        sum(floor_amount) as floor_amount,
        sum(breakpoint_amount) as breakpoint_amount,
        sum(recouped_before_share_amount) as recouped_before_share_amount,
        sum(minimum_amount) as minimum_amount,
        sum(cap_amount) as cap_amount
    from {{ ref('int_share_true_up_members') }}
    group by contract_id, point_no, share_id, true_up_month, part_no
),

bases as (
    select
        *,
        cast(
            case share_basis
                when 'pct_above_floor' then greatest(0, revenue_amount - floor_amount)
                when 'pct_above_breakpoint' then greatest(0, revenue_amount - breakpoint_amount)
                else revenue_amount
            end - recouped_before_share_amount as decimal(38, 18)
        ) as base_amount
    from sums
)

select
    * exclude (year_cumulative_base_amount),
    cast(year_cumulative_base_amount + coalesce(sum(base_amount) over earlier_parts, 0) as decimal(38, 18)) as cumulative_base_before_amount,
    cast(year_cumulative_base_amount + coalesce(sum(base_amount) over earlier_parts, 0) + base_amount as decimal(38, 18))
        as cumulative_base_after_amount
from bases
window earlier_parts as (
    partition by contract_id, point_no, share_id, service_month order by segment_no rows between unbounded preceding and 1 preceding
)
