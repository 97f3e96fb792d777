-- Whether the share of a month is active: each criterion's mean over its window against its test, with the months that may fail in a row.
with month_segments as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        amendment_id,
        sum(days_in_force) over month_rows < days_in_month as is_cut_short,
        row_number() over (
            partition by contract_id, point_no, share_id, service_month order by segment_no desc
        ) = 1 as is_last,
        service_month = min(service_month) over (partition by contract_id, point_no, share_id) as is_first_month
    from {{ ref('int_share_segments') }}
    window month_rows as (partition by contract_id, point_no, share_id, service_month)
),

-- The criteria are those of the terms at the month's end. A first month cut short is no test and no history.
month_criteria as (
    select
        months.contract_id,
        months.point_no,
        months.share_id,
        months.service_month,
        criteria.criterion_no,
        criteria.metric,
        criteria.operator,
        criteria.value,
        criteria.test_window_months,
        criteria.cure_months
    from month_segments as months
    inner join {{ ref('stg_share_activation') }} as criteria
        on
            months.contract_id = criteria.contract_id
            and months.share_id = criteria.share_id
            and months.amendment_id = criteria.amendment_id
    where months.is_last and not (months.is_first_month and months.is_cut_short)
),

bases as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        sum(base_amount) as base_amount,
        sum(revenue_amount) as revenue_amount,
        sum(gpu_hours) as gpu_hours
    from {{ ref('int_share_bases') }}
    group by contract_id, point_no, share_id, service_month
),

measured as (
    select
        month_criteria.*,
        case month_criteria.metric
            when 'occupancy' then main.exact_ratio(supply.leased_gpu_hours, 1, nullif(supply.available_gpu_hours, 0))
            when 'availability' then main.exact_ratio(supply.available_gpu_hours, 1, nullif(supply.installed_gpu_hours, 0))
            when 'utilization' then main.exact_ratio(supply.busy_gpu_hours, 1, nullif(supply.leased_gpu_hours, 0))
            when 'revenue' then bases.revenue_amount
            when 'base' then bases.base_amount
            when 'price_per_gpu_hour' then main.exact_ratio(bases.revenue_amount, 1, nullif(bases.gpu_hours, 0))
            else error('contract ' || month_criteria.contract_id || ': no activation metric ' || month_criteria.metric)
        end as month_value
    from month_criteria
    inner join bases
        on
            month_criteria.contract_id = bases.contract_id
            and month_criteria.point_no = bases.point_no
            and month_criteria.share_id = bases.share_id
            and month_criteria.service_month = bases.service_month
    left join {{ ref('int_supply_months') }} as supply
        on
            month_criteria.contract_id = supply.contract_id
            and month_criteria.point_no = supply.point_no
            and month_criteria.service_month = supply.service_month
),

-- A month whose metric has no value (nothing to divide by) is not tested.
windowed as (
    select
        tested.contract_id,
        tested.point_no,
        tested.share_id,
        tested.service_month,
        tested.criterion_no,
        tested.operator,
        tested.value,
        tested.cure_months,
        sum(history.month_value) as value_sum,
        count(history.month_value) as value_count
    from measured as tested
    inner join measured as history
        on
            tested.contract_id = history.contract_id
            and tested.point_no = history.point_no
            and tested.share_id = history.share_id
            and tested.criterion_no = history.criterion_no
            and history.service_month > tested.service_month - to_months(tested.test_window_months)
            and tested.service_month >= history.service_month
    group by
        tested.contract_id, tested.point_no, tested.share_id, tested.service_month, tested.criterion_no, tested.operator, tested.value,
        tested.cure_months
),

-- The mean meets the test where the sum meets count times the value: nothing is divided.
results as (
    select
        *,
        case operator
            when '>=' then value_sum >= value * value_count
            when '>' then value_sum > value * value_count
            when '<=' then value_sum <= value * value_count
            when '<' then value_sum < value * value_count
        end or value_count = 0 as passes
    from windowed
),

runs as (
    select
        *,
        count(*) filter (where passes) over (
            partition by contract_id, point_no, share_id, criterion_no order by service_month
        ) as pass_no
    from results
),

failures as (
    select
        *,
        count(*) filter (where not passes) over (
            partition by contract_id, point_no, share_id, criterion_no, pass_no order by service_month
        ) as failed_in_a_row
    from runs
)

-- Several criteria must all hold.
select
    contract_id,
    point_no,
    share_id,
    service_month,
    bool_and(passes or failed_in_a_row <= cure_months) as is_active
from failures
group by contract_id, point_no, share_id, service_month
