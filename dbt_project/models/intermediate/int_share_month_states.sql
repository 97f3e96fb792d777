{{ config(
    materialized='incremental',
    incremental_strategy='known_points',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_points() }}"
) }}

-- From the tiers to the amount: minimum, caps, true-up, advances, gross-up and rounding, segment after segment, per block and as known at each
-- point that knows otherwise of the month than the one before. A month ends with its last segment; one that closes a year with a true-up ends with
-- the parts of that year. The first month that a point knows otherwise follows from where the one before it stands: a row keeps what it hands on.
-- Where a natural breakpoint hangs on the share paid, the base hangs on it too, and with it what advances take of the base, the cumulative base, a
-- price of the month as a whole, tests of the base and a year's true-up: of such blocks (base_follows_share) all of that is worked out here, by the
-- same rules. Where a month as a whole is looked at, its segments' bases are made before the share of the first of them is (steps that look ahead),
-- so their breakpoints take what was paid before the month.
{% set state_amounts = [
    'tier_share', 'earned', 'credited', 'credit_left', 'month_tier_share', 'month_earned', 'month_top_up', 'month_credited', 'month_share',
    'month_capped', 'parts_share', 'parts_capped', 'period_capped', 'cumulative_share', 'shared_base', 'true_up', 'true_up_carried', 'offset', 'top_up', 'cap_reduction', 'limited', 'unrounded_share',
    'breakpoint', 'recouped_before', 'month_base', 'cumulative_base', 'ahead_base', 'ahead_cumulative', 'parts_base'
] %}
with recursive
segments as (
    select
        segments.* exclude (previous_month, previous_point_no),
        first_value(segments.previous_month) over month_segments as previous_month,
        first_value(segments.previous_point_no) over month_segments as previous_point_no,
        {{ share_year_from('segments') }} as year_from_date,
        {{ contract_year_from('segments') }} as contract_year_from_date,
        coalesce(segments.service_month != lead(segments.service_month) over (
            partition by segments.contract_id, segments.point_no, segments.share_id order by segments.service_month, segments.segment_no
        ), true) as is_last_segment,
        sum(segments.days_in_force) over whole_month < segments.days_in_month as is_cut_short
    from {{ ref('int_share_segments') }} as segments
    {{ points_to_build('segments') }}
    window month_segments as (
        partition by segments.contract_id, segments.point_no, segments.share_id, segments.service_month order by segments.segment_no
    ), whole_month as (partition by segments.contract_id, segments.point_no, segments.share_id, segments.service_month)
),

-- What a month as a whole is ruled by: the terms of its last segment.
month_ends as (
    select * exclude (segment_no, is_last_segment)
    from segments
    where is_last_segment
),

tier_shares as (
    select
        tiers.contract_id,
        tiers.point_no,
        tiers.share_id,
        tiers.service_month,
        tiers.segment_no,
        sum(tiers.share_amount) as tier_share_amount,
        list(
            struct_pack(tier_no := tiers.tier_no, rate := tiers.rate, slice_amount := cast(tiers.slice_amount as decimal(38, 18)))
            order by tiers.tier_no, tiers.rate
        ) as slices,
        list(
            struct_pack(
                axis := tiers.axis,
                tier_no := tiers.tier_no,
                rate := tiers.rate,
                weight_amount := cast(tiers.weight_amount as decimal(38, 18)),
                takes_all := tiers.takes_all
            ) order by tiers.axis, tiers.tier_no
        ) filter (where tiers.axis is not null) as weights
    from {{ ref('int_share_tiers') }} as tiers
    semi join month_ends on tiers.contract_id = month_ends.contract_id and tiers.point_no = month_ends.point_no
    group by tiers.contract_id, tiers.point_no, tiers.share_id, tiers.service_month, tiers.segment_no
),

-- Tiers on the share paid so far are climbed here, where what was paid before is known.
paid_tiers as (
    select
        contract_id,
        share_id,
        amendment_id,
        any_value(application) as application,
        list(
            struct_pack(tier_no := tier_no, from_value := from_value, to_value := to_value, rate := rate) order by from_value, tier_no
        ) as tiers
    from {{ ref('stg_share_tier') }}
    where axis = 'cumulative_share_paid'
    group by contract_id, share_id, amendment_id
),

-- Tiers that follow from a base which hangs on the share, and all axes of a version but the share paid.
following_tiers as (
    select
        contract_id,
        share_id,
        amendment_id,
        list(distinct axis order by axis) filter (where axis != 'cumulative_share_paid') as axes,
        any_value(application) filter (where axis = 'cumulative_base') as cumulative_application,
        {% for axis, condition in [
            ('cumulative', "axis = 'cumulative_base'"), ('price', "axis = 'price_per_gpu_hour' and application = 'cliff'")
        ] -%}
        list(
            struct_pack(tier_no := tier_no, from_value := from_value, to_value := to_value, rate := rate) order by coalesce(from_value, 0), tier_no
        ) filter (where {{ condition }}) as {{ axis }}_tiers,
        {% endfor -%}
        bool_or(axis in ('cumulative_base', 'price_per_gpu_hour') and application = 'cliff') as has_cliff_of_base
    from {{ ref('stg_share_tier') }}
    group by contract_id, share_id, amendment_id
),

base_advances as (
    {{ base_advances(ref('int_share_advances')) }}
),

advances as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        list({
            'advance_id': advance_id,
            'recoup_order': recoup_order,
            'principal_amount': principal_amount,
            'recoupment_rate': recoupment_rate
        } order by grant_date, advance_id) as advances
    from (
        select advances.*
        from {{ ref('int_share_advances') }} as advances
        -- What a month as a whole is ruled by: its last segment, also where an amendment in the month has dropped the advance.
        inner join segments
            on
                advances.contract_id = segments.contract_id
                and advances.point_no = segments.point_no
                and advances.share_id = segments.share_id
                and advances.service_month = segments.service_month
                and advances.segment_no = segments.segment_no
        where advances.recoup_order = 'from_share' and segments.is_last_segment
    )
    group by contract_id, point_no, share_id, service_month
),

-- Where a criterion fails there is neither share nor minimum; the base has counted all the same.
month_steps as (
    select
        segments.contract_id,
        segments.point_no,
        segments.share_id,
        segments.service_month,
        segments.segment_no,
        segments.amendment_id,
        segments.share_basis,
        segments.combine,
        false as is_true_up,
        segments.is_cut_short,
        coalesce(segments.base_follows_share, false) as base_follows_share,
        coalesce(activations.is_active, true) or coalesce(segments.base_follows_share, false) as is_active,
        case when segments.base_follows_share then coalesce(activations.tests, []) else [] end as tests,
        cast(bases.base_amount as decimal(38, 18)) as base_amount,
        cast(bases.revenue_amount + bases.carried_in_amount - bases.carried_out_amount as decimal(38, 18)) as earned_revenue_amount,
        cast(bases.floor_amount as decimal(38, 18)) as floor_amount,
        cast(bases.breakpoint_amount as decimal(38, 18)) as known_breakpoint_amount,
        cast(bases.gpu_hours as decimal(38, 18)) as gpu_hours,
        case
            when coalesce(segments.has_breakpoint_of_share_paid, false) then {{ prorated('segments.minimum_amount', 'segments') }}
        end as breakpoint_minimum_amount,
        bases.known_rates,
        case
            when
                (coalesce(activations.is_active, true) or coalesce(segments.base_follows_share, false)) and segments.minimum_period = 'month'
                then {{ prorated('segments.minimum_amount', 'segments') }}
        end as minimum_amount,
        coalesce(segments.minimum_creditable, false) and segments.share_basis != 'pct_above_breakpoint' as is_creditable,
        case when segments.period_cap_period = 'month' then {{ prorated('segments.period_cap_amount', 'segments') }} end as cap_amount
    from segments
    inner join {{ ref('int_share_bases') }} as bases
        on
            segments.contract_id = bases.contract_id
            and segments.point_no = bases.point_no
            and segments.share_id = bases.share_id
            and segments.service_month = bases.service_month
            and segments.segment_no = bases.segment_no
    left join {{ ref('int_share_activations') }} as activations
        on
            segments.contract_id = activations.contract_id
            and segments.point_no = activations.point_no
            and segments.share_id = activations.share_id
            and segments.service_month = activations.service_month
),

true_up_steps as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        segment_no,
        amendment_id,
        share_basis,
        combine,
        true as is_true_up,
        false as is_cut_short,
        coalesce(base_follows_share, false) as base_follows_share,
        true as is_active,
        base_amount,
        null::decimal(38, 18) as breakpoint_minimum_amount,
        null::decimal(18, 9)[] as known_rates,
        minimum_amount,
        false as is_creditable,
        cap_amount
    from {{ ref('int_share_true_up_parts') }}
),

-- Months in which the share asks for the month as a whole: its price, its cumulative base, or, by the terms of its end, a test of its base.
looked_at_months as (
    select
        month_steps.contract_id,
        month_steps.point_no,
        month_steps.share_id,
        month_steps.service_month
    from month_steps
    left join following_tiers
        on
            month_steps.contract_id = following_tiers.contract_id
            and month_steps.share_id = following_tiers.share_id
            and month_steps.amendment_id = following_tiers.amendment_id
    where month_steps.base_follows_share
    group by month_steps.contract_id, month_steps.point_no, month_steps.share_id, month_steps.service_month
    having
        bool_or(following_tiers.has_cliff_of_base)
        or bool_or(len(list_filter(month_steps.tests, lambda test: test.passes is null)) > 0)
),

all_steps as (
    select
        *,
        false as is_ahead
    from month_steps
    union all by name
    select
        *,
        false as is_ahead
    from true_up_steps
    union all by name
    select
        month_steps.* replace (month_steps.segment_no - 1000 as segment_no, null as minimum_amount, null as cap_amount),
        true as is_ahead
    from month_steps
    inner join looked_at_months
        on
            month_steps.contract_id = looked_at_months.contract_id
            and month_steps.point_no = looked_at_months.point_no
            and month_steps.share_id = looked_at_months.share_id
            and month_steps.service_month = looked_at_months.service_month
),

-- Quarters are the calendar's, years the contract's unless the true-up names another; an amount of either is that of the terms at its end.
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
        month_ends.*,
        period_type.period,
        case period_type.period
            when 'quarter' then cast(date_trunc('quarter', month_ends.service_month) as date)
            else month_ends.year_from_date
        end as period_from_date
    from month_ends
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
                    cast(coalesce(
                        case when end_terms.minimum_period = bounded_periods.period then end_terms.minimum_amount end, bounded_periods.minimum_amount
                    ) as decimal(38, 18))
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
                    cast(coalesce(
                        case when end_terms.period_cap_period = bounded_periods.period then end_terms.period_cap_amount end,
                        bounded_periods.period_cap_amount
                    ) as decimal(38, 18))
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

-- The steps in their order, each with the one before it.
ordered_steps as (
    select
        *,
        lag(struct_pack(service_month := service_month, segment_no := segment_no)) over (
            partition by contract_id, point_no, share_id order by service_month, segment_no
        ) as step_before
    from all_steps
),

-- Grouped, where a window would carry along all that a step holds.
month_sums as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        bool_or(is_ahead) as looks_at_month,
        bool_or(is_cut_short) as is_cut_short,
        bool_or(is_true_up) as has_true_up,
        -- Parts of a true-up's year are active, whatever the month that closes it.
        bool_and(is_active) as is_active,
        max(segment_no) as last_step_no,
        max(segment_no) filter (where not is_true_up) as last_segment_no,
        sum(gpu_hours) filter (where not is_ahead) as gpu_hours,
        sum(cap_amount) filter (where not is_true_up) as cap_amount,
        sum(cap_amount) filter (where is_true_up) as true_up_cap_amount
    from all_steps
    group by contract_id, point_no, share_id, service_month
),

inputs as (
    select
        ordered_steps.* exclude (is_cut_short, step_before),
        tier_shares.tier_share_amount,
        tier_shares.slices,
        tier_shares.weights,
        following_tiers.axes,
        following_tiers.cumulative_application,
        following_tiers.cumulative_tiers,
        following_tiers.price_tiers,
        month_sums.looks_at_month,
        month_sums.is_cut_short,
        not ordered_steps.is_true_up and ordered_steps.segment_no = month_sums.last_segment_no as is_last_of_segments,
        month_sums.gpu_hours as month_gpu_hours,
        case
            when ordered_steps.base_follows_share and not ordered_steps.is_true_up then coalesce(base_advances.advances, []) else []
        end as base_advances,
        paid_tiers.tiers as paid_tiers,
        paid_tiers.application as paid_application,
        month_ends.minor_unit_digits,
        month_ends.year_from_date,
        month_ends.contract_year_from_date,
        coalesce(month_ends.true_up_carry_forward, false) as carries_true_up,
        month_sums.has_true_up,
        ordered_steps.segment_no = month_sums.last_step_no as is_month_end,
        month_sums.cap_amount as month_cap_amount,
        month_sums.true_up_cap_amount,
        quarters.period_from_date as quarter_from_date,
        case when quarters.is_last_month and month_sums.is_active then quarters.minimum_amount end as quarter_minimum_amount,
        case when years.is_last_month and month_sums.is_active then years.minimum_amount end as year_minimum_amount,
        quarters.cap_amount as quarter_cap_amount,
        case when quarters.is_last_month then quarters.cap_amount end as ending_quarter_cap_amount,
        years.cap_amount as year_cap_amount,
        least(
            month_ends.lifetime_cap_amount,
            main.exact_product(month_ends.hardware_amount, month_ends.return_multiple)
        ) as lifetime_limit_amount,
        coalesce(advances.advances, []) as advances,
        -- A month's last step is its step 0, which the first of the next month follows; before the first of all is nothing.
        coalesce(case when ordered_steps.step_before is null then month_ends.previous_point_no end, ordered_steps.point_no) as previous_point_no,
        coalesce(ordered_steps.step_before.service_month, month_ends.previous_month, date '0001-01-01') as previous_month,
        case when ordered_steps.step_before.service_month = ordered_steps.service_month then ordered_steps.step_before.segment_no else 0 end
            as previous_step_no
    from ordered_steps
    inner join month_sums
        on
            ordered_steps.contract_id = month_sums.contract_id
            and ordered_steps.point_no = month_sums.point_no
            and ordered_steps.share_id = month_sums.share_id
            and ordered_steps.service_month = month_sums.service_month
    inner join month_ends
        on
            ordered_steps.contract_id = month_ends.contract_id
            and ordered_steps.point_no = month_ends.point_no
            and ordered_steps.share_id = month_ends.share_id
            and ordered_steps.service_month = month_ends.service_month
    inner join period_terms as quarters
        on
            quarters.period = 'quarter'
            and ordered_steps.contract_id = quarters.contract_id
            and ordered_steps.point_no = quarters.point_no
            and ordered_steps.share_id = quarters.share_id
            and ordered_steps.service_month = quarters.service_month
    inner join period_terms as years
        on
            years.period = 'year'
            and ordered_steps.contract_id = years.contract_id
            and ordered_steps.point_no = years.point_no
            and ordered_steps.share_id = years.share_id
            and ordered_steps.service_month = years.service_month
    left join tier_shares
        on
            ordered_steps.contract_id = tier_shares.contract_id
            and ordered_steps.point_no = tier_shares.point_no
            and ordered_steps.share_id = tier_shares.share_id
            and ordered_steps.service_month = tier_shares.service_month
            and ordered_steps.segment_no = tier_shares.segment_no
    left join following_tiers
        on
            ordered_steps.base_follows_share
            and ordered_steps.contract_id = following_tiers.contract_id
            and ordered_steps.share_id = following_tiers.share_id
            and ordered_steps.amendment_id = following_tiers.amendment_id
    left join base_advances
        on
            ordered_steps.contract_id = base_advances.contract_id
            and ordered_steps.point_no = base_advances.point_no
            and ordered_steps.share_id = base_advances.share_id
            and ordered_steps.service_month = base_advances.service_month
            and base_advances.segment_no = case when ordered_steps.is_ahead then ordered_steps.segment_no + 1000 else ordered_steps.segment_no end
    left join paid_tiers
        on
            ordered_steps.contract_id = paid_tiers.contract_id
            and ordered_steps.share_id = paid_tiers.share_id
            and ordered_steps.amendment_id = paid_tiers.amendment_id
    left join advances
        on
            ordered_steps.contract_id = advances.contract_id
            and ordered_steps.point_no = advances.point_no
            and ordered_steps.share_id = advances.share_id
            and ordered_steps.service_month = advances.service_month
),

-- The state that one step hands to the next. What has been accrued in the quarter, in the year and in all counts rounded, as it was posted, and
-- before what is recouped from the share.
steps as (
    select
        contract_id,
        point_no,
        share_id,
        cast(date '0001-01-01' as date) as service_month,
        0 as segment_no,
        0 as step_no,
        true as is_month_end,
        cast(null as date) as contract_year_from_date,
        cast([] as struct(
            service_month date, accrued_amount decimal(38, 18), offset_amount decimal(38, 18), minima_amount decimal(38, 18),
            quarter_cap_amount decimal(38, 18)
        )[]) as accruals,
        {% for amount in state_amounts -%}
        0::decimal(38, 18) as {{ amount }}_amount,
        {% endfor -%}
        cast([] as struct(tier_no integer, rate decimal(18, 9), slice_amount decimal(38, 18), share_amount decimal(38, 18))[]) as paid_cuts,
        cast([] as struct(advance_id varchar, recoup_order varchar, recouped_amount decimal(38, 18))[]) as recoupments,
        cast([] as struct(advance_id varchar, used_amount decimal(38, 18))[]) as used_advances,
        cast([] as struct(advance_id varchar, recoup_order varchar, recouped_amount decimal(38, 18))[]) as base_recoupments,
        cast([] as struct(advance_id varchar, used_amount decimal(38, 18))[]) as ahead_used_advances,
        true as is_active,
        cast([] as struct(criterion_no integer, failed_in_a_row integer)[]) as failures,
        cast([] as struct(service_month date, base_amount decimal(38, 18))[]) as measures,
        cast([] as struct(
            service_month date, amendment_id varchar, share_basis varchar, is_active boolean, earned_amount decimal(38, 18),
            floor_amount decimal(38, 18), breakpoint_amount decimal(38, 18), recouped_amount decimal(38, 18), gpu_hours decimal(38, 18),
            minimum_amount decimal(38, 18), cap_amount decimal(38, 18), cumulative_before_amount decimal(38, 18),
            weights struct(axis varchar, tier_no integer, rate decimal(18, 9), weight_amount decimal(38, 18), takes_all boolean)[]
        )[]) as members
    from inputs
    where previous_month = date '0001-01-01'
    {%- if has_points_that_stand() %}
    union all
    select unnest(kept.step)
    from {{ this }} as kept
    semi join inputs
        on
            kept.contract_id = inputs.contract_id
            and kept.point_no = inputs.previous_point_no
            and kept.share_id = inputs.share_id
            and kept.service_month = inputs.previous_month
    anti join segments on kept.contract_id = segments.contract_id and kept.point_no = segments.point_no
    {%- endif %}
    union all
    (
        with drawn as (
            select
                inputs.* exclude (is_active),
                inputs.is_active as is_active_by_itself,
                steps.is_active as was_active,
                steps.used_advances,
                steps.failures,
                steps.measures,
                steps.members,
                -- What the true-up of a base that hangs on the share takes together: its year's segments, and of those the ones that earned.
                case
                    when inputs.base_follows_share and inputs.has_true_up
                        then list_filter(steps.members, lambda one: one.service_month >= inputs.year_from_date)
                    else []
                end as year_members,
                list_filter(year_members, lambda one: one.is_active) as earning_members,
                inputs.base_follows_share and inputs.is_true_up as is_following_part,
                case
                    when is_following_part then list_filter(earning_members, lambda one: one.amendment_id = inputs.amendment_id) else []
                end as part_members,
                case
                    when inputs.is_ahead and not steps.is_month_end then steps.ahead_used_advances else steps.used_advances
                end as used_before_advances,
                case
                    when is_following_part
                        then year_members[1].cumulative_before_amount + case when steps.is_month_end then 0 else steps.parts_base_amount end
                    when inputs.is_ahead and not steps.is_month_end then steps.ahead_cumulative_amount
                    else steps.cumulative_base_amount
                end as cumulative_base_before_amount,
                case when steps.is_month_end then 0 else steps.month_base_amount end as month_base_before_amount,
                case when steps.is_month_end then 0 else steps.ahead_base_amount end as ahead_base_before_amount,
                case when steps.is_month_end then 0 else steps.parts_base_amount end as parts_base_before_amount,
                steps.cumulative_base_amount as cumulative_base_so_far_amount,
                case when steps.is_month_end then steps.cumulative_base_amount else steps.ahead_cumulative_amount end
                    as ahead_cumulative_before_amount,
                steps.cumulative_share_amount,
                steps.true_up_carried_amount,
                -- Sums begin anew with each month, quarter and year.
                case when steps.is_month_end then 0 else steps.month_tier_share_amount end as month_tier_share_before_amount,
                case when steps.is_month_end then 0 else steps.month_earned_amount end as month_earned_before_amount,
                case when steps.is_month_end then 0 else steps.month_top_up_amount end as month_top_up_before_amount,
                case when steps.is_month_end then 0 else steps.month_credited_amount end as month_credited_before_amount,
                case when steps.is_month_end then 0 else steps.month_share_amount end as month_share_before_amount,
                case when steps.is_month_end then 0 else steps.month_capped_amount end as month_capped_before_amount,
                case when steps.is_month_end then 0 else steps.parts_share_amount end as parts_share_before_amount,
                case when steps.is_month_end then 0 else steps.parts_capped_amount end as parts_capped_before_amount,
                -- Looked up by month: an amendment may begin the year elsewhere, and what its months accrued counts all the same.
                steps.accruals,
                {{ accrued_since('steps.accruals', 'accrued_amount', 'inputs.quarter_from_date') }} as quarter_before_amount,
                {{ accrued_since('steps.accruals', 'accrued_amount', 'inputs.year_from_date') }} as year_before_amount,
                {{ accrued_since('steps.accruals', 'offset_amount', 'inputs.year_from_date') }} as true_up_offset_before_amount,
                {{ accrued_since('steps.accruals', 'minima_amount', 'inputs.year_from_date') }} as year_minima_before_amount,
                {{ accrued_since('steps.accruals', 'quarter_cap_amount', 'inputs.year_from_date') }} as year_quarter_caps_before_amount,
                case when steps.contract_year_from_date = inputs.contract_year_from_date then steps.credit_left_amount else 0 end
                    as credit_before_amount
            from steps
            inner join inputs
                on
                    steps.contract_id = inputs.contract_id
                    and steps.point_no = inputs.previous_point_no
                    and steps.share_id = inputs.share_id
                    and steps.service_month = inputs.previous_month
                    and steps.step_no = inputs.previous_step_no
        ),

        -- A natural breakpoint over such tiers: the minimum over the rate at what was accrued before the segment, combined with that of a second
        -- axis; never reached at a rate of zero.
        paid as (
            select
                *,
                list_concat(
                    known_rates,
                    list_transform(
                        main.share_paid_cliff(
                            base_amount,
                            cast(cumulative_share_amount + case when looks_at_month then 0 else month_share_before_amount end as decimal(38, 18)),
                            paid_tiers
                        ),
                        lambda tier: tier.rate
                    ),
                    list_transform(
                        main.share_paid_cliff(base_amount, cumulative_base_before_amount, cumulative_tiers), lambda tier: tier.rate
                    )
                ) as axis_rates,
                case when combine = 'max' then list_max(axis_rates) else list_min(axis_rates) end as breakpoint_rate,
                cast(case
                    when breakpoint_minimum_amount is null then 0
                    when breakpoint_rate = 0 then greatest(0, base_amount)
                    else main.exact_ratio(breakpoint_minimum_amount, 1, breakpoint_rate)
                end as decimal(38, 18)) as natural_breakpoint_amount,
                case
                    when breakpoint_minimum_amount is null then base_amount else greatest(0, base_amount - natural_breakpoint_amount)
                end as unrecouped_base_amount,
                cast(base_amount - unrecouped_base_amount as decimal(38, 18)) as breakpoint_amount
            from drawn
        ),

        -- What advances take of a base that hangs on the share; what is recouped before the share leaves it.
        based as (
            select
                *,
                main.recoupments(base_advances, used_before_advances, unrecouped_base_amount) as base_recoupments,
                cast(coalesce(list_sum(list_transform(
                    list_filter(base_recoupments, lambda one: one.recoup_order = 'before_share'), lambda one: one.recouped_amount
                )), 0) as decimal(38, 18)) as recouped_before_amount,
                cast(case
                    when is_following_part then main.share_part_base(part_members) else unrecouped_base_amount - recouped_before_amount
                end as decimal(38, 18)) as shared_base_amount
            from paid
        ),

        -- Each test of the month and how often it has failed in a row: those of the base beside those that pass or fail by themselves. A first
        -- month cut short is no test and no history.
        tested as (
            select
                *,
                is_cut_short and len(members) = len(list_filter(members, lambda one: one.service_month = service_month)) as is_no_test,
                case
                    when is_ahead or is_true_up or len(tests) = 0 then []
                    else list_transform(tests, lambda test: {
                        'criterion_no': test.criterion_no,
                        'cure_months': test.cure_months,
                        'failed_in_a_row': cast(case
                            when
                                coalesce(
                                    test.passes,
                                    main.share_base_passes(
                                        test,
                                        list_append(
                                            list_filter(measures, lambda one: one.service_month < service_month),
                                            struct_pack(service_month := service_month, base_amount := ahead_base_before_amount)
                                        )
                                    )
                                )
                                then 0
                            else coalesce(
                                list_filter(failures, lambda one: one.criterion_no = test.criterion_no)[1].failed_in_a_row, 0
                            ) + 1
                        end as integer)
                    })
                end as test_results
            from based
        ),

        -- Whether the month earns, and what bounds it where it does.
        decided as (
            select
                * exclude (minimum_amount, cap_amount, quarter_minimum_amount, year_minimum_amount, true_up_cap_amount, has_true_up),
                case
                    when is_true_up then was_active
                    when not base_follows_share then is_active_by_itself
                    else coalesce(list_bool_and(list_transform(test_results, lambda one: one.failed_in_a_row <= one.cure_months)), true)
                end as is_active,
                is_active or is_true_up as earns,
                cast(case
                    when is_following_part then list_sum(list_transform(part_members, lambda one: one.minimum_amount))
                    when is_active or is_true_up then minimum_amount
                end as decimal(38, 18)) as minimum_amount,
                cast(case
                    when is_following_part then list_sum(list_transform(part_members, lambda one: one.cap_amount)) else cap_amount
                end as decimal(38, 18)) as cap_amount,
                case when is_active then quarter_minimum_amount end as quarter_minimum_amount,
                case when is_active then year_minimum_amount end as year_minimum_amount,
                case
                    when base_follows_share then list_sum(list_transform(earning_members, lambda one: one.cap_amount)) else true_up_cap_amount
                end as true_up_cap_amount,
                has_true_up and (not base_follows_share or len(earning_members) > 0) as has_true_up
            from tested
        ),

        -- A base that hangs on the share over all axes but the share paid.
        laid_out as (
            select
                *,
                case
                    when not base_follows_share or is_ahead or shared_base_amount = 0 then []
                    else list_transform(coalesce(axes, []), lambda axis: main.share_axis_slices(
                        axis,
                        shared_base_amount,
                        cumulative_base_before_amount,
                        cast(case
                            when is_following_part then year_members[1].cumulative_before_amount + main.share_year_base(earning_members)
                            else ahead_cumulative_before_amount
                        end as decimal(38, 18)),
                        cast(case
                            when is_following_part then main.share_year_base(earning_members) else ahead_base_before_amount
                        end as decimal(38, 18)),
                        cast(case
                            when is_following_part then list_sum(list_transform(earning_members, lambda one: one.gpu_hours))
                            else month_gpu_hours
                        end as decimal(38, 18)),
                        cumulative_application,
                        cumulative_tiers,
                        price_tiers,
                        list_concat(
                            coalesce(weights, []),
                            flatten(list_transform(part_members, lambda one: list_filter(one.weights, lambda weight: weight.axis != 'occupancy')))
                        )
                    ))
                end as axis_slices
            from decided
        ),

        -- Tiers on the share paid: what was accrued before the month, and for marginal ones what its segments have been worth since, minima
        -- included; for the parts of a year, what was accrued before it.
        climbed as (
            select
                *,
                case
                    when is_ahead or (base_follows_share and shared_base_amount = 0) then []
                    when base_follows_share and paid_tiers is null
                        then main.share_earned(
                            main.share_paid_crossed(axis_slices[1], coalesce(axis_slices[2], []), shared_base_amount, combine)
                        )
                    when paid_tiers is null then []
                    else
                        main.share_paid_cuts(
                            shared_base_amount,
                            cast(
                                cumulative_share_amount
                                - case when is_true_up then year_before_amount else 0 end
                                + case
                                    when paid_application != 'marginal' then 0
                                    when is_true_up then parts_share_before_amount
                                    else month_share_before_amount
                                end
                                as decimal(38, 18)
                            ),
                            paid_application,
                            paid_tiers,
                            case when base_follows_share then coalesce(axis_slices[1], []) else coalesce(slices, []) end,
                            shared_base_amount,
                            combine
                        )
                end as paid_cuts
            from laid_out
        ),

        tiered as (
            select
                * exclude (tier_share_amount),
                cast(case
                    when paid_tiers is null and not base_follows_share then coalesce(tier_share_amount, 0)
                    else coalesce(list_sum(list_transform(paid_cuts, lambda cut: cut.share_amount)), 0)
                end as decimal(38, 18)) as tier_share_amount
            from climbed
        ),

        activated as (
            select
                *,
                case when earns then tier_share_amount else 0 end as earned_amount
            from tiered
        ),

        -- Above a breakpoint the minimum is paid beside the percentage; elsewhere it is the lower bound of it.
        bounded as (
            select
                *,
                cast(case
                    when minimum_amount is null then 0
                    when share_basis = 'pct_above_breakpoint' then minimum_amount
                    else greatest(0, minimum_amount - earned_amount)
                end as decimal(38, 18)) as lower_bound_amount
            from activated
        ),

        -- A creditable top-up is set against later share above the minimum in the same year.
        credited as (
            select
                *,
                cast(case
                    when is_creditable and minimum_amount is not null then least(credit_before_amount, greatest(0, earned_amount - minimum_amount))
                    else 0
                end as decimal(38, 18)) as credited_amount
            from bounded
        ),

        stepped as (
            select
                *,
                credit_before_amount + case when is_creditable then lower_bound_amount else 0 end - credited_amount as credit_left_amount,
                earned_amount + lower_bound_amount - credited_amount as step_share_amount
            from credited
        ),

        summed as (
            select
                *,
                month_tier_share_before_amount + case when is_true_up then 0 else tier_share_amount end as month_tier_share_amount,
                month_earned_before_amount + case when is_true_up then 0 else earned_amount end as month_earned_amount,
                month_credited_before_amount + credited_amount as month_credited_amount,
                month_top_up_before_amount + case when is_true_up then 0 else lower_bound_amount - credited_amount end as month_top_up_amount,
                month_share_before_amount + case when is_true_up then 0 else step_share_amount end as month_share_amount,
                -- A monthly cap that only some segments have binds the sum of those.
                month_capped_before_amount
                + case when is_true_up or cap_amount is null then 0 else step_share_amount end as month_capped_amount,
                parts_share_before_amount + case when is_true_up then step_share_amount else 0 end as parts_share_amount,
                parts_capped_before_amount
                + case when is_true_up and cap_amount is not null then step_share_amount else 0 end as parts_capped_amount,
                year_minima_before_amount
                + case when is_month_end then coalesce(quarter_minimum_amount, 0) + coalesce(year_minimum_amount, 0) else 0 end
                    as year_minima_amount,
                year_quarter_caps_before_amount
                + case when is_month_end then coalesce(ending_quarter_cap_amount, 0) else 0 end as year_quarter_caps_amount
            from stepped
        ),

        topped_up as (
            select
                *,
                cast(case
                    when is_month_end
                        then greatest(
                            0,
                            coalesce(quarter_minimum_amount - quarter_before_amount - month_share_amount, 0),
                            coalesce(year_minimum_amount - year_before_amount - month_share_amount, 0)
                        )
                    else 0
                end as decimal(38, 18)) as period_top_up_amount
            from summed
        ),

        capped as (
            select
                *,
                cast(least(
                    month_share_amount + period_top_up_amount
                    - greatest(0, coalesce(month_capped_amount + period_top_up_amount - month_cap_amount, 0)),
                    {{ room_under('quarter_cap_amount', 'quarter_before_amount') }},
                    {{ room_under('year_cap_amount', 'year_before_amount') }}
                ) as decimal(38, 18)) as period_capped_amount,
                -- Without a minimum there is no lower bound: a year of credit notes stays negative.
                cast(case when year_minima_amount > 0 then greatest(0, year_minima_amount - parts_share_amount) else 0 end as decimal(38, 18))
                    as year_top_up_amount
            from topped_up
        ),

        -- The year's share within its minima and caps, less what was accrued in the year.
        trued_up as (
            select
                *,
                cast(case
                    when is_month_end and has_true_up
                        then least(
                            parts_share_amount + year_top_up_amount
                            - greatest(0, coalesce(parts_capped_amount + year_top_up_amount - true_up_cap_amount, 0)),
                            case when year_quarter_caps_amount > 0 then year_quarter_caps_amount end,
                            year_cap_amount
                        ) - year_before_amount - true_up_offset_before_amount - period_capped_amount
                    else 0
                end as decimal(38, 18)) as raw_true_up_amount
            from capped
        ),

        carried as (
            select
                *,
                case when carries_true_up then greatest(0, raw_true_up_amount) else raw_true_up_amount end as true_up_amount,
                case when carries_true_up then greatest(0, -raw_true_up_amount) else 0 end as newly_carried_amount
            from trued_up
        ),

        -- What earlier true-ups carried forward is set against the share, never below zero.
        offset_shares as (
            select
                *,
                cast(case
                    when is_month_end then least(greatest(0, period_capped_amount + true_up_amount), true_up_carried_amount) else 0
                end as decimal(38, 18)) as offset_amount
            from carried
        ),

        -- What a cap cuts is lost; a cap that is used up earns nothing, and takes nothing back.
        limited as (
            select
                *,
                cast(least(
                    period_capped_amount + true_up_amount - offset_amount,
                    {{ room_under('lifetime_limit_amount', 'cumulative_share_amount') }}
                ) as decimal(38, 18)) as limited_amount
            from offset_shares
        ),

        recouped as (
            select
                *,
                case when is_month_end then main.recoupments(advances, used_advances, limited_amount) else [] end as recoupments,
                case when is_month_end then main.rounded_money(limited_amount, minor_unit_digits) else 0 end as accrued_amount
            from limited
        ),

        handed_on as (
            select
                * exclude (accruals, cumulative_share_amount, true_up_carried_amount, used_advances, failures, measures, members),
                case
                    when is_ahead then used_advances
                    when not base_follows_share then main.used_after(used_advances, recoupments, is_month_end, minor_unit_digits)
                    else main.used_by_then(
                        main.used_after(used_advances, list_concat(base_recoupments, recoupments), false, minor_unit_digits),
                        is_month_end,
                        minor_unit_digits
                    )
                end as used_advances,
                case
                    when is_ahead then main.used_after(used_before_advances, base_recoupments, false, minor_unit_digits) else []
                end as ahead_used_advances,
                case when is_ahead or is_true_up then 0 else shared_base_amount end + month_base_before_amount as month_base_amount,
                cumulative_base_so_far_amount
                + case when base_follows_share and not is_ahead and not is_true_up then shared_base_amount else 0 end as cumulative_base_amount,
                ahead_base_before_amount + case when is_ahead then shared_base_amount else 0 end as ahead_base_amount,
                ahead_cumulative_before_amount + case when is_ahead then shared_base_amount else 0 end as ahead_cumulative_amount,
                parts_base_before_amount + case when is_following_part then shared_base_amount else 0 end as parts_base_amount,
                case
                    when is_last_of_segments and len(test_results) > 0
                        then list_concat(
                            list_filter(failures, lambda one: not list_contains(
                                list_transform(test_results, lambda result: result.criterion_no), one.criterion_no
                            )),
                            list_transform(test_results, lambda result: {
                                'criterion_no': result.criterion_no, 'failed_in_a_row': result.failed_in_a_row
                            })
                        )
                    else failures
                end as failures,
                case
                    when base_follows_share and is_last_of_segments and not is_no_test
                        then list_append(
                            measures, struct_pack(service_month := service_month, base_amount := cast(month_base_amount as decimal(38, 18)))
                        )
                    else measures
                end as measures,
                case
                    when base_follows_share and not is_ahead and not is_true_up
                        then list_append(members, {
                            'service_month': service_month,
                            'amendment_id': amendment_id,
                            'share_basis': share_basis,
                            'is_active': is_active,
                            'earned_amount': earned_revenue_amount,
                            'floor_amount': floor_amount,
                            'breakpoint_amount': cast(known_breakpoint_amount + natural_breakpoint_amount as decimal(38, 18)),
                            'recouped_amount': recouped_before_amount,
                            'gpu_hours': gpu_hours,
                            'minimum_amount': minimum_amount,
                            'cap_amount': cap_amount,
                            'cumulative_before_amount': cumulative_base_before_amount,
                            'weights': coalesce(weights, [])
                        })
                    else members
                end as members,
                case
                    when is_month_end
                        then list_append(accruals, {
                            'service_month': service_month,
                            'accrued_amount': cast(accrued_amount as decimal(38, 18)),
                            'offset_amount': offset_amount,
                            'minima_amount': cast(year_minima_amount - year_minima_before_amount as decimal(38, 18)),
                            'quarter_cap_amount': cast(year_quarter_caps_amount - year_quarter_caps_before_amount as decimal(38, 18))
                        })
                    else accruals
                end as accruals,
                cumulative_share_amount + accrued_amount as cumulative_share_amount,
                true_up_carried_amount + newly_carried_amount - offset_amount as true_up_carried_amount,
                month_top_up_amount + period_top_up_amount as top_up_amount,
                month_share_amount + period_top_up_amount + true_up_amount - offset_amount - limited_amount as cap_reduction_amount,
                limited_amount
                - coalesce(list_sum(list_transform(recoupments, lambda one: one.recouped_amount)), 0) as unrounded_share_amount
            from recouped
        )

        select
            contract_id,
            point_no,
            share_id,
            service_month,
            segment_no,
            case when is_month_end then 0 else segment_no end as step_no,
            is_month_end,
            contract_year_from_date,
            accruals,
            {% for amount in state_amounts -%}
            cast({{ amount }}_amount as decimal(38, 18)) as {{ amount }}_amount,
            {% endfor -%}
            paid_cuts,
            recoupments,
            used_advances,
            base_recoupments,
            ahead_used_advances,
            is_active,
            failures,
            measures,
            members
        from handed_on
    )
),

-- What stood when each month had ended, and what its steps did on the way.
month_bases as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        sum(minimum_amount) filter (where not is_true_up) as minimum_amount,
        max(quarter_minimum_amount) as quarter_minimum_amount,
        max(year_minimum_amount) as year_minimum_amount
    from inputs
    group by contract_id, point_no, share_id, service_month
),

paid_cuts as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        flatten(list(paid_cuts order by segment_no)) as paid_cuts,
        flatten(list(base_recoupments order by segment_no)) as base_recoupments,
        sum(breakpoint_amount) as breakpoint_amount,
        sum(recouped_before_amount) as recouped_before_amount,
        sum(shared_base_amount) as base_amount
    from steps
    where segment_no between 1 and 999
    group by contract_id, point_no, share_id, service_month
),

-- What is accrued and what is recouped of it are each rounded once; the share is the rest, so that the three foot.
amounts as (
    select
        steps.contract_id,
        steps.point_no,
        steps.share_id,
        steps.service_month,
        main.rounded_money(steps.limited_amount, month_ends.minor_unit_digits) as accrued_share_amount,
        cast(main.rounded_money(steps.limited_amount, month_ends.minor_unit_digits) - coalesce(list_sum(list_transform(
            steps.recoupments, lambda one: main.rounded_money(one.recouped_amount, month_ends.minor_unit_digits)
        )), 0) as decimal(18, 2)) as share_amount
    from steps
    inner join month_ends
        on
            steps.contract_id = month_ends.contract_id
            and steps.point_no = month_ends.point_no
            and steps.share_id = month_ends.share_id
            and steps.service_month = month_ends.service_month
    where steps.is_month_end and steps.segment_no > 0
)

select
    month_ends.contract_id,
    month_ends.point_no,
    month_ends.share_id,
    month_ends.service_month,
    month_ends.amendment_id,
    month_ends.currency_code,
    month_ends.minor_unit_digits,
    month_ends.contractual_invoice_date,
    month_ends.payment_terms_days,
    paid_cuts.base_amount,
    cast(paid_cuts.breakpoint_amount as decimal(38, 18)) as breakpoint_of_share_paid_amount,
    cast(paid_cuts.recouped_before_amount as decimal(38, 18)) as recouped_of_following_base_amount,
    steps.month_tier_share_amount as tier_share_amount,
    steps.is_active,
    steps.month_earned_amount as earned_amount,
    steps.month_credited_amount as credited_amount,
    cast(case
        when steps.is_active
            then
                coalesce(month_bases.minimum_amount, 0) + coalesce(month_bases.quarter_minimum_amount, 0)
                + coalesce(month_bases.year_minimum_amount, 0)
        else 0
    end as decimal(38, 18)) as minimum_amount,
    steps.top_up_amount,
    steps.cap_reduction_amount,
    steps.period_capped_amount,
    steps.true_up_amount,
    steps.offset_amount as true_up_offset_amount,
    steps.true_up_carried_amount,
    steps.limited_amount as limited_share_amount,
    steps.unrounded_share_amount,
    amounts.share_amount,
    amounts.accrued_share_amount,
    case
        when coalesce(month_ends.gross_up, false) and month_ends.withholding_tax_rate > 0
            then main.rounded_money(
                main.exact_ratio(steps.unrounded_share_amount, 1, 1 - month_ends.withholding_tax_rate), month_ends.minor_unit_digits
            )
        else amounts.share_amount
    end as invoiced_amount,
    month_ends.withholding_tax_rate,
    list_concat(paid_cuts.base_recoupments, steps.recoupments) as recoupments,
    paid_cuts.paid_cuts,
    steps as step
from month_ends
inner join steps
    on
        month_ends.contract_id = steps.contract_id
        and month_ends.point_no = steps.point_no
        and month_ends.share_id = steps.share_id
        and month_ends.service_month = steps.service_month
        and steps.is_month_end
        and steps.segment_no > 0
inner join month_bases
    on
        month_ends.contract_id = month_bases.contract_id
        and month_ends.point_no = month_bases.point_no
        and month_ends.share_id = month_bases.share_id
        and month_ends.service_month = month_bases.service_month
inner join paid_cuts
    on
        month_ends.contract_id = paid_cuts.contract_id
        and month_ends.point_no = paid_cuts.point_no
        and month_ends.share_id = paid_cuts.share_id
        and month_ends.service_month = paid_cuts.service_month
inner join amounts
    on
        month_ends.contract_id = amounts.contract_id
        and month_ends.point_no = amounts.point_no
        and month_ends.share_id = amounts.share_id
        and month_ends.service_month = amounts.service_month
