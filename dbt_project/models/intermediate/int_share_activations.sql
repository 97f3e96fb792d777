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

tested_metrics as (
    select distinct
        contract_id,
        share_id,
        metric
    from {{ ref('stg_share_activation') }}
),

-- What each full month measured, by each metric that any terms of the share test: an amendment may ask for another one, over months that have passed.
measured_months as (
    select
        months.contract_id,
        months.point_no,
        months.share_id,
        months.service_month,
        tested_metrics.metric,
        case tested_metrics.metric
            when 'occupancy' then main.exact_ratio(supply.leased_gpu_hours, 1, nullif(supply.available_gpu_hours, 0))
            when 'availability' then main.exact_ratio(supply.available_gpu_hours, 1, nullif(supply.installed_gpu_hours, 0))
            when 'utilization' then main.exact_ratio(supply.busy_gpu_hours, 1, nullif(supply.leased_gpu_hours, 0))
            when 'revenue' then bases.revenue_amount
            when 'base' then bases.base_amount
            when 'price_per_gpu_hour' then main.exact_ratio(bases.revenue_amount, 1, nullif(bases.gpu_hours, 0))
            when 'installed_gpu_hours' then supply.installed_gpu_hours
            when 'leased_gpu_hours' then supply.leased_gpu_hours
            when 'dscr' then coverages.dscr_value
            else error('contract ' || months.contract_id || ': no activation metric ' || tested_metrics.metric)
        end as month_value
    from month_segments as months
    inner join tested_metrics on months.contract_id = tested_metrics.contract_id and months.share_id = tested_metrics.share_id
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
        measured.month_value
    from month_criteria as tested
    inner join measured_months as measured
        on
            tested.contract_id = measured.contract_id
            and tested.point_no = measured.point_no
            and tested.share_id = measured.share_id
            and tested.metric = measured.metric
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
