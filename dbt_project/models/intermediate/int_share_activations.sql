-- Whether the share of a month is active: each criterion's mean over its window against its test, with the months that may fail in a row.
-- A test looks back: where there is one, the months before it stand beside each point.
with month_segments as (
    select
        months.contract_id,
        months.point_no,
        months.state_point_no,
        segments.share_id,
        months.service_month,
        segments.amendment_id,
        coalesce(segments.base_follows_share, false) as base_follows_share,
        sum(segments.days_in_force) over month_rows < segments.days_in_month as is_cut_short,
        row_number() over (
            partition by months.contract_id, months.point_no, segments.share_id, months.service_month order by segments.segment_no desc
        ) = 1 as is_last,
        months.service_month = min(months.service_month) over (partition by months.contract_id, months.point_no, segments.share_id)
            as is_first_month
    from {{ ref('int_known_months') }} as months
    inner join {{ ref('int_share_segments') }} as segments
        on
            months.contract_id = segments.contract_id
            and months.state_point_no = segments.point_no
            and months.service_month = segments.service_month
    where
        months.contract_id in (
            select tested.contract_id
            from {{ ref('stg_share_activation') }} as tested
        )
    window month_rows as (partition by months.contract_id, months.point_no, segments.share_id, months.service_month)
),

-- The criteria are those of the terms at the month's end. A first month cut short is no test and no history.
month_criteria as (
    select
        months.contract_id,
        months.point_no,
        months.state_point_no,
        months.share_id,
        months.service_month,
        months.base_follows_share,
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

-- Cash for debt service over what was due, both of the operator's own statements; a month that either is not told of has no value.
coverages as (
    select
        months.contract_id,
        months.point_no,
        months.service_month,
        main.exact_ratio(
            sum(facts.amount) filter (where facts.item = 'cash_for_debt_service'),
            1,
            nullif(sum(facts.amount) filter (where facts.item = 'debt_service_due'), 0)
        ) as dscr_value
    from {{ ref('int_known_months') }} as months
    inner join {{ ref('int_knowledge_points') }} as points on months.contract_id = points.contract_id and months.point_no = points.point_no
    inner join {{ ref('int_contract_facts') }} as facts
        on
            months.contract_id = facts.contract_id
            and months.service_month = facts.service_month
            and {{ known_at('facts', 'points.known_at') }}
    where facts.item in ('cash_for_debt_service', 'debt_service_due')
    group by months.contract_id, months.point_no, months.service_month
),

-- What each full month measured, whichever metric its own terms tested: an amendment may ask for another one, over months that have passed.
measured_months as (
    select
        months.contract_id,
        months.point_no,
        months.share_id,
        months.service_month,
        main.exact_ratio(supply.leased_gpu_hours, 1, nullif(supply.available_gpu_hours, 0)) as occupancy_value,
        main.exact_ratio(supply.available_gpu_hours, 1, nullif(supply.installed_gpu_hours, 0)) as availability_value,
        main.exact_ratio(supply.busy_gpu_hours, 1, nullif(supply.leased_gpu_hours, 0)) as utilization_value,
        supply.installed_gpu_hours as installed_value,
        supply.leased_gpu_hours as leased_value,
        coverages.dscr_value,
        bases.revenue_amount as revenue_value,
        bases.base_amount as base_value,
        main.exact_ratio(bases.revenue_amount, 1, nullif(bases.gpu_hours, 0)) as price_value
    from month_segments as months
    inner join bases
        on
            months.contract_id = bases.contract_id
            and months.state_point_no = bases.point_no
            and months.share_id = bases.share_id
            and months.service_month = bases.service_month
    left join {{ ref('int_supply_months') }} as supply
        on
            months.contract_id = supply.contract_id
            and months.point_no = supply.point_no
            and months.service_month = supply.service_month
    left join coverages
        on
            months.contract_id = coverages.contract_id
            and months.point_no = coverages.point_no
            and months.service_month = coverages.service_month
    where months.is_last and not (months.is_first_month and months.is_cut_short)
),

history as (
    select
        tested.*,
        case tested.metric
            when 'occupancy' then measured.occupancy_value
            when 'availability' then measured.availability_value
            when 'utilization' then measured.utilization_value
            when 'revenue' then measured.revenue_value
            when 'base' then measured.base_value
            when 'price_per_gpu_hour' then measured.price_value
            when 'installed_gpu_hours' then measured.installed_value
            when 'leased_gpu_hours' then measured.leased_value
            when 'dscr' then measured.dscr_value
            else error('contract ' || tested.contract_id || ': no activation metric ' || tested.metric)
        end as month_value
    from month_criteria as tested
    inner join measured_months as measured
        on
            tested.contract_id = measured.contract_id
            and tested.point_no = measured.point_no
            and tested.share_id = measured.share_id
            and measured.service_month > tested.service_month - to_months(tested.test_window_months)
            and tested.service_month >= measured.service_month
),

-- A month whose metric has no value (nothing to divide by) is not tested.
windowed as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        point_no = state_point_no as is_changed,
        base_follows_share,
        criterion_no,
        metric,
        operator,
        value,
        test_window_months,
        cure_months,
        sum(month_value) as value_sum,
        count(month_value) as value_count
    from history
    group by
        contract_id, point_no, state_point_no, share_id, service_month, base_follows_share, criterion_no, metric, operator, value, test_window_months,
        cure_months
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

-- Several criteria must all hold. Where the base hangs on the share, a test of it can be made where both are known: there each test stands by
-- itself, and what holds here is what the others say.
select
    contract_id,
    point_no,
    share_id,
    service_month,
    coalesce(bool_and(passes or failed_in_a_row <= cure_months) filter (where not (base_follows_share and metric = 'base')), true) as is_active,
    list({
        'criterion_no': criterion_no,
        'passes': case when metric != 'base' then passes end,
        'operator': operator,
        'value': value,
        'oldest_month': cast(service_month - to_months(test_window_months - 1) as date),
        'cure_months': cure_months
    } order by criterion_no) filter (where base_follows_share) as tests
from failures
where is_changed
group by contract_id, point_no, share_id, service_month
