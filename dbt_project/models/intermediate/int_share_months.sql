-- From the tiers to the amount: minimum, caps, gross-up and rounding, month after month, per block and as known at each point.
with recursive
tier_shares as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        segment_no,
        sum(share_amount) as tier_share_amount
    from {{ ref('int_share_tiers') }}
    group by contract_id, point_no, share_id, service_month, segment_no
),

segment_shares as (
    select
        segments.*,
        bases.base_amount,
        cast(coalesce(tier_shares.tier_share_amount, 0) as decimal(38, 18)) as tier_share_amount,
        case when segments.minimum_period = 'month' then {{ prorated('segments.minimum_amount', 'segments') }} end as segment_minimum_amount,
        case when segments.period_cap_period = 'month' then {{ prorated('segments.period_cap_amount', 'segments') }} end as segment_cap_amount
    from {{ ref('int_share_segments') }} as segments
    inner join {{ ref('int_share_bases') }} as bases
        on
            segments.contract_id = bases.contract_id
            and segments.point_no = bases.point_no
            and segments.share_id = bases.share_id
            and segments.service_month = bases.service_month
            and segments.segment_no = bases.segment_no
    left join tier_shares
        on
            segments.contract_id = tier_shares.contract_id
            and segments.point_no = tier_shares.point_no
            and segments.share_id = tier_shares.share_id
            and segments.service_month = tier_shares.service_month
            and segments.segment_no = tier_shares.segment_no
),

-- Where a criterion fails there is neither share nor minimum; the base has counted all the same.
active_shares as (
    select
        segment_shares.* exclude (segment_minimum_amount),
        coalesce(activations.is_active, true) as is_active,
        case when coalesce(activations.is_active, true) then segment_shares.tier_share_amount else 0::decimal(38, 18) end as earned_amount,
        case when coalesce(activations.is_active, true) then segment_shares.segment_minimum_amount end as segment_minimum_amount
    from segment_shares
    left join {{ ref('int_share_activations') }} as activations
        on
            segment_shares.contract_id = activations.contract_id
            and segment_shares.point_no = activations.point_no
            and segment_shares.share_id = activations.share_id
            and segment_shares.service_month = activations.service_month
),

-- Above a breakpoint the minimum is paid beside the percentage; elsewhere it is the lower bound of it.
bounded_shares as (
    select
        *,
        case
            when segment_minimum_amount is null then 0::decimal(38, 18)
            when share_basis = 'pct_above_breakpoint' then segment_minimum_amount
            else cast(greatest(0, segment_minimum_amount - earned_amount) as decimal(38, 18))
        end as top_up_amount
    from active_shares
),

-- A creditable top-up is set against later share above the minimum in the same contract year: the balance rises by top-ups and falls, never below
-- zero, by what is above the minimum, so it is the running sum less its lowest point so far.
credit_moves as (
    select
        *,
        case
            when not coalesce(minimum_creditable, false) or segment_minimum_amount is null then 0::decimal(38, 18)
            when top_up_amount > 0 then top_up_amount
            else segment_minimum_amount - earned_amount
        end as credit_move_amount
    from bounded_shares
),

credit_runs as (
    select
        *,
        sum(credit_move_amount) over contract_year as credit_run_amount
    from credit_moves
    window contract_year as (
        partition by contract_id, point_no, share_id, (contract_month - 1) // 12 order by sequence_no
    )
),

credit_balances as (
    select
        *,
        credit_run_amount - least(0, min(credit_run_amount) over (
            partition by contract_id, point_no, share_id, (contract_month - 1) // 12 order by sequence_no
        )) as credit_balance_amount
    from credit_runs
),

credited_shares as (
    select
        *,
        case
            when credit_move_amount < 0
                then cast(
                    coalesce(lag(credit_balance_amount) over (
                        partition by contract_id, point_no, share_id, (contract_month - 1) // 12 order by sequence_no
                    ), 0) - credit_balance_amount as decimal(38, 18)
                )
            else 0::decimal(38, 18)
        end as credited_amount
    from credit_balances
),

month_shares as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        any_value(currency_code) as currency_code,
        any_value(minor_unit_digits) as minor_unit_digits,
        any_value(contract_month) as contract_month,
        any_value(service_commencement_date) as service_commencement_date,
        any_value(contract_end_date) as contract_end_date,
        sum(base_amount) as base_amount,
        sum(tier_share_amount) as tier_share_amount,
        sum(coalesce(segment_minimum_amount, 0)) as month_minimum_amount,
        sum(earned_amount) as earned_amount,
        bool_and(is_active) as is_active,
        sum(credited_amount) as credited_amount,
        sum(top_up_amount) - sum(credited_amount) as month_top_up_amount,
        -- A monthly cap that only some segments have binds the sum of those.
        coalesce(sum(earned_amount + top_up_amount - credited_amount) filter (where segment_cap_amount is not null), 0) as monthly_capped_amount,
        sum(segment_cap_amount) as monthly_cap_amount,
        {% for term in [
            'amendment_id', 'minimum_amount', 'minimum_period', 'period_cap_amount', 'period_cap_period', 'lifetime_cap_amount',
            'return_multiple', 'hardware_amount', 'withholding_tax_rate', 'gross_up', 'contractual_invoice_date', 'payment_terms_days'
        ] -%}
        arg_max_null({{ term }}, segment_no) as {{ term }}{{ ',' if not loop.last }}
        {% endfor %}
    from credited_shares
    group by contract_id, point_no, share_id, service_month
),

-- Quarters are the calendar's, years the contract's; an amount of either is that of the terms at its end.
first_days as (
    select
        contract_id,
        point_no,
        min(from_date) as first_date
    from {{ ref('int_terms_in_force') }}
    where instrument = 'revenue_share'
    group by contract_id, point_no
),

periods as (
    select
        month_shares.*,
        period_type.period,
        case period_type.period
            when 'quarter' then cast(date_trunc('quarter', month_shares.service_month) as date)
            else
                cast(
                    date_trunc('month', month_shares.service_commencement_date)
                    + to_years(cast((month_shares.contract_month - 1) // 12 as integer)) as date
                )
        end as period_from_date
    from month_shares
    cross join (values ('quarter'), ('year')) as period_type (period)
),

bounded_periods as (
    select
        *,
        cast(period_from_date + case period when 'quarter' then interval 3 month else interval 12 month end as date) - 1 as period_to_date
    from periods
),

period_terms as (
    select
        bounded_periods.contract_id,
        bounded_periods.point_no,
        bounded_periods.share_id,
        bounded_periods.service_month,
        bounded_periods.period,
        bounded_periods.period_from_date,
        bounded_periods.service_month
        = date_trunc('month', least(bounded_periods.period_to_date, bounded_periods.contract_end_date)) as is_last_month,
        case
            when bounded_periods.minimum_period = bounded_periods.period
                then main.exact_quotient(
                    cast(coalesce(end_terms.minimum_amount, bounded_periods.minimum_amount) as decimal(38, 18))
                    * (
                        least(bounded_periods.period_to_date, bounded_periods.contract_end_date)
                        - greatest(bounded_periods.period_from_date, first_days.first_date) + 1
                    ),
                    bounded_periods.period_to_date - bounded_periods.period_from_date + 1
                )
        end as minimum_amount,
        case
            when bounded_periods.period_cap_period = bounded_periods.period
                then main.exact_quotient(
                    cast(coalesce(end_terms.period_cap_amount, bounded_periods.period_cap_amount) as decimal(38, 18))
                    * (
                        least(bounded_periods.period_to_date, bounded_periods.contract_end_date)
                        - greatest(bounded_periods.period_from_date, first_days.first_date) + 1
                    ),
                    bounded_periods.period_to_date - bounded_periods.period_from_date + 1
                )
        end as cap_amount
    from bounded_periods
    inner join first_days
        on bounded_periods.contract_id = first_days.contract_id and bounded_periods.point_no = first_days.point_no
    left join {{ ref('int_terms_in_force') }} as end_version
        on
            bounded_periods.contract_id = end_version.contract_id
            and bounded_periods.point_no = end_version.point_no
            and least(bounded_periods.period_to_date, bounded_periods.contract_end_date) between end_version.from_date and end_version.to_date
            and end_version.instrument = 'revenue_share'
    left join {{ ref('stg_share_terms') }} as end_terms
        on
            end_version.contract_id = end_terms.contract_id
            and end_version.amendment_id = end_terms.amendment_id
            and bounded_periods.share_id = end_terms.share_id
            and (
                end_terms.minimum_period = bounded_periods.period or end_terms.period_cap_period = bounded_periods.period
            )
),

inputs as (
    select
        month_shares.* exclude (minimum_amount, period_cap_amount),
        quarters.period_from_date as quarter_from_date,
        years.period_from_date as year_from_date,
        case when quarters.is_last_month and month_shares.is_active then quarters.minimum_amount end as quarter_minimum_amount,
        case when years.is_last_month and month_shares.is_active then years.minimum_amount end as year_minimum_amount,
        quarters.cap_amount as quarter_cap_amount,
        years.cap_amount as year_cap_amount,
        least(
            month_shares.lifetime_cap_amount,
            main.exact_product(month_shares.hardware_amount, month_shares.return_multiple)
        ) as lifetime_limit_amount,
        cast(row_number() over (
            partition by month_shares.contract_id, month_shares.point_no, month_shares.share_id order by month_shares.service_month
        ) as integer) as month_no
    from month_shares
    inner join period_terms as quarters
        on
            quarters.period = 'quarter'
            and month_shares.contract_id = quarters.contract_id
            and month_shares.point_no = quarters.point_no
            and month_shares.share_id = quarters.share_id
            and month_shares.service_month = quarters.service_month
    inner join period_terms as years
        on
            years.period = 'year'
            and month_shares.contract_id = years.contract_id
            and month_shares.point_no = years.point_no
            and month_shares.share_id = years.share_id
            and month_shares.service_month = years.service_month
),

-- The state that one month hands to the next: what has been accrued in the quarter, in the year and in all, rounded as it was posted.
steps as (
    select
        contract_id,
        point_no,
        share_id,
        0 as month_no,
        cast(null as date) as service_month,
        cast(null as date) as quarter_from_date,
        cast(null as date) as year_from_date,
        0::decimal(38, 18) as quarter_accrued_amount,
        0::decimal(38, 18) as year_accrued_amount,
        0::decimal(38, 18) as cumulative_share_amount,
        0::decimal(38, 18) as top_up_amount,
        0::decimal(38, 18) as cap_reduction_amount,
        0::decimal(38, 18) as unrounded_share_amount
    from inputs
    where month_no = 1
    union all
    select
        contract_id,
        point_no,
        share_id,
        month_no,
        service_month,
        quarter_from_date,
        year_from_date,
        quarter_before_amount + main.rounded_money(unrounded_share_amount, minor_unit_digits) as quarter_accrued_amount,
        year_before_amount + main.rounded_money(unrounded_share_amount, minor_unit_digits) as year_accrued_amount,
        cumulative_before_amount + main.rounded_money(unrounded_share_amount, minor_unit_digits) as cumulative_share_amount,
        top_up_amount,
        bounded_amount - unrounded_share_amount as cap_reduction_amount,
        unrounded_share_amount
    from (
        select
            *,
            -- What a cap cuts is lost; a cap that is used up earns nothing, and takes nothing back.
            cast(least(
                period_capped_amount,
                {{ room_under('lifetime_limit_amount', 'cumulative_before_amount') }}
            ) as decimal(38, 18)) as unrounded_share_amount
        from (
            select
                *,
                cast(least(
                    bounded_amount
                    - greatest(0, coalesce(monthly_capped_amount + period_top_up_amount - monthly_cap_amount, 0)),
                    {{ room_under('quarter_cap_amount', 'quarter_before_amount') }},
                    {{ room_under('year_cap_amount', 'year_before_amount') }}
                ) as decimal(38, 18)) as period_capped_amount
            from (
                select
                    *,
                    cast(month_top_up_amount + period_top_up_amount as decimal(38, 18)) as top_up_amount,
                    cast(earned_amount + month_top_up_amount + period_top_up_amount as decimal(38, 18)) as bounded_amount
                from (
                    select
                        *,
                        cast(greatest(
                            0,
                            coalesce(quarter_minimum_amount - quarter_before_amount - earned_amount - month_top_up_amount, 0),
                            coalesce(year_minimum_amount - year_before_amount - earned_amount - month_top_up_amount, 0)
                        ) as decimal(38, 18)) as period_top_up_amount
                    from (
                        select
                            inputs.*,
                            case
                                when steps.quarter_from_date = inputs.quarter_from_date then steps.quarter_accrued_amount else 0
                            end as quarter_before_amount,
                            case when steps.year_from_date = inputs.year_from_date then steps.year_accrued_amount else 0 end as year_before_amount,
                            steps.cumulative_share_amount as cumulative_before_amount
                        from steps
                        inner join inputs
                            on
                                steps.contract_id = inputs.contract_id
                                and steps.point_no = inputs.point_no
                                and steps.share_id = inputs.share_id
                                and steps.month_no + 1 = inputs.month_no
                    ) as before_minimum
                ) as before_bounds
            ) as before_period_cap
        ) as before_lifetime_cap
    ) as limited
)

select
    inputs.contract_id,
    inputs.point_no,
    inputs.share_id,
    inputs.service_month,
    inputs.amendment_id,
    inputs.currency_code,
    inputs.minor_unit_digits,
    inputs.contractual_invoice_date,
    inputs.payment_terms_days,
    inputs.base_amount,
    inputs.tier_share_amount,
    inputs.is_active,
    inputs.earned_amount,
    inputs.credited_amount,
    cast(
        inputs.month_minimum_amount + coalesce(inputs.quarter_minimum_amount, 0) + coalesce(inputs.year_minimum_amount, 0) as decimal(38, 18)
    ) as minimum_amount,
    steps.top_up_amount,
    steps.cap_reduction_amount,
    steps.unrounded_share_amount,
    main.rounded_money(steps.unrounded_share_amount, inputs.minor_unit_digits) as share_amount,
    case
        when coalesce(inputs.gross_up, false) and inputs.withholding_tax_rate > 0
            then main.rounded_money(
                main.exact_ratio(steps.unrounded_share_amount, 1, 1 - inputs.withholding_tax_rate), inputs.minor_unit_digits
            )
        else main.rounded_money(steps.unrounded_share_amount, inputs.minor_unit_digits)
    end as invoiced_amount,
    inputs.withholding_tax_rate
from inputs
inner join steps
    on
        inputs.contract_id = steps.contract_id
        and inputs.point_no = steps.point_no
        and inputs.share_id = steps.share_id
        and inputs.month_no = steps.month_no
