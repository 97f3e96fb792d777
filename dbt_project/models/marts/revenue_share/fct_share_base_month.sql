with clock_months as (
    select *
    from {{ ref('int_known_months') }}
    where is_clock
),

revenue as (
    select
        revenue.contract_id,
        revenue.share_id,
        revenue.service_month,
        revenue.component,
        sum(revenue.measured_amount) as measured_amount,
        sum(revenue.excluded_amount) as excluded_amount
    from {{ ref('int_share_revenue') }} as revenue
    inner join clock_months
        on
            revenue.contract_id = clock_months.contract_id
            and revenue.point_no = clock_months.state_point_no
            and revenue.service_month = clock_months.service_month
    group by revenue.contract_id, revenue.share_id, revenue.service_month, revenue.component
),

bases as (
    select
        bases.contract_id,
        bases.share_id,
        bases.service_month,
        sum(bases.base_amount)
        - coalesce(any_value(months.breakpoint_of_share_paid_amount + months.recouped_of_following_base_amount), 0) as base_amount,
        -- A carry from one segment to the next within the month leaves nothing here.
        sum(bases.carried_in_amount) as carried_in_amount,
        sum(bases.carried_out_amount) as carried_out_amount,
        sum(bases.recouped_before_share_amount)
        + coalesce(any_value(months.recouped_of_following_base_amount), 0) as recouped_before_share_amount,
        sum(deductions.deduction_amount) filter (where segments.share_basis = 'pct_above_floor') as floor_amount,
        sum(deductions.deduction_amount) filter (where segments.share_basis = 'pct_above_breakpoint')
        - coalesce(any_value(months.breakpoint_of_share_paid_amount), 0) as breakpoint_amount
    from {{ ref('int_share_bases') }} as bases
    inner join clock_months
        on
            bases.contract_id = clock_months.contract_id
            and bases.point_no = clock_months.state_point_no
            and bases.service_month = clock_months.service_month
    inner join {{ ref('int_share_segments') }} as segments
        on
            bases.contract_id = segments.contract_id
            and bases.point_no = segments.point_no
            and bases.share_id = segments.share_id
            and bases.service_month = segments.service_month
            and bases.segment_no = segments.segment_no
    left join {{ ref('int_share_month_states') }} as months
        on
            bases.contract_id = months.contract_id
            and bases.point_no = months.point_no
            and bases.share_id = months.share_id
            and bases.service_month = months.service_month
    cross join lateral (
        select bases.base_amount + bases.recouped_before_share_amount - bases.revenue_amount - bases.carried_in_amount as deduction_amount
    ) as deductions
    group by bases.contract_id, bases.share_id, bases.service_month
),

-- gross always has a row; the others where there is something to say.
components as (
    select
        contract_id,
        share_id,
        service_month,
        component,
        measured_amount as amount
    from revenue
    where measured_amount != 0 and component != 'gross'
    union all
    select
        bases.contract_id,
        bases.share_id,
        bases.service_month,
        'gross' as component,
        coalesce(revenue.measured_amount, 0) as amount
    from bases
    left join revenue
        on
            bases.contract_id = revenue.contract_id
            and bases.share_id = revenue.share_id
            and bases.service_month = revenue.service_month
            and revenue.component = 'gross'
    union all
    select
        contract_id,
        share_id,
        service_month,
        'excluded_' || component as component,
        excluded_amount as amount
    from revenue
    where excluded_amount != 0
    union all
    select
        contract_id,
        share_id,
        service_month,
        'floor_deduction' as component,
        floor_amount as amount
    from bases
    where floor_amount != 0
    union all
    select
        contract_id,
        share_id,
        service_month,
        'breakpoint_deduction' as component,
        breakpoint_amount as amount
    from bases
    where breakpoint_amount != 0
    union all
    select
        contract_id,
        share_id,
        service_month,
        'carried_forward' as component,
        carried_in_amount - carried_out_amount as amount
    from bases
    where carried_in_amount != carried_out_amount
    union all
    select
        contract_id,
        share_id,
        service_month,
        'recouped_before_share' as component,
        -recouped_before_share_amount as amount
    from bases
    where recouped_before_share_amount != 0
    union all
    select
        contract_id,
        share_id,
        service_month,
        'base' as component,
        base_amount as amount
    from bases
)

-- Several blocks have a base each: their rows add up, component by component.
select
    components.contract_id,
    components.service_month,
    components.component,
    main.settled(sum(components.amount)) as amount,
    any_value(contracts.currency_code) as currency_code,
    cast(count(distinct components.share_id) as integer) as block_count
from components
inner join {{ ref('stg_contract') }} as contracts on components.contract_id = contracts.contract_id
group by components.contract_id, components.service_month, components.component
