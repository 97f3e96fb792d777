-- From the tiers to the amount: minimum, caps, true-up, advances, gross-up and rounding, segment after segment, per block and as known at each
-- point that knows otherwise of the month than the one before. A month ends with its last segment; one that closes a year with a true-up ends with
-- the parts of that year. The first month that a point knows otherwise follows from where the one before it stands.
{% set state_amounts = [
    'tier_share', 'earned', 'credited', 'credit_left', 'month_tier_share', 'month_earned', 'month_top_up', 'month_credited', 'month_share',
    'month_capped', 'parts_share', 'parts_capped', 'period_capped', 'cumulative_share', 'shared_base', 'true_up', 'true_up_carried', 'offset', 'top_up', 'cap_reduction', 'limited', 'unrounded_share'
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
        ), true) as is_last_segment
    from {{ ref('int_share_segments') }} as segments
    window month_segments as (
        partition by segments.contract_id, segments.point_no, segments.share_id, segments.service_month order by segments.segment_no
    )
),

-- What a month as a whole is ruled by: the terms of its last segment.
month_ends as (
    select * exclude (segment_no, is_last_segment)
    from segments
    where is_last_segment
),

tier_shares as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        segment_no,
        sum(share_amount) as tier_share_amount,
        list(
            struct_pack(tier_no := tier_no, rate := rate, slice_amount := cast(slice_amount as decimal(38, 18))) order by tier_no, rate
        ) as slices
    from {{ ref('int_share_tiers') }}
    group by contract_id, point_no, share_id, service_month, segment_no
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
        coalesce(activations.is_active, true) as is_active,
        cast(bases.base_amount as decimal(38, 18)) as base_amount,
        case
            when coalesce(segments.has_breakpoint_of_share_paid, false) then {{ prorated('segments.minimum_amount', 'segments') }}
        end as breakpoint_minimum_amount,
        bases.known_rates,
        case
            when coalesce(activations.is_active, true) and segments.minimum_period = 'month'
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
        true as is_active,
        base_amount,
        null::decimal(38, 18) as breakpoint_minimum_amount,
        null::decimal(18, 9)[] as known_rates,
        minimum_amount,
        false as is_creditable,
        cap_amount
    from {{ ref('int_share_true_up_parts') }}
),

all_steps as (
    select * from month_steps
    union all by name
    select * from true_up_steps
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

inputs as (
    select
        all_steps.*,
        tier_shares.tier_share_amount,
        tier_shares.slices,
        paid_tiers.tiers as paid_tiers,
        paid_tiers.application as paid_application,
        month_ends.minor_unit_digits,
        month_ends.year_from_date,
        month_ends.contract_year_from_date,
        coalesce(month_ends.true_up_carry_forward, false) as carries_true_up,
        bool_or(all_steps.is_true_up) over month_steps as has_true_up,
        row_number() over (
            partition by all_steps.contract_id, all_steps.point_no, all_steps.share_id, all_steps.service_month order by all_steps.segment_no desc
        ) = 1 as is_month_end,
        sum(all_steps.cap_amount) filter (where not all_steps.is_true_up) over month_steps as month_cap_amount,
        sum(all_steps.cap_amount) filter (where all_steps.is_true_up) over month_steps as true_up_cap_amount,
        quarters.period_from_date as quarter_from_date,
        -- Parts of a true-up's year are active, whatever the month that closes it.
        case when quarters.is_last_month and bool_and(all_steps.is_active) over month_steps then quarters.minimum_amount end
            as quarter_minimum_amount,
        case when years.is_last_month and bool_and(all_steps.is_active) over month_steps then years.minimum_amount end as year_minimum_amount,
        quarters.cap_amount as quarter_cap_amount,
        case when quarters.is_last_month then quarters.cap_amount end as ending_quarter_cap_amount,
        years.cap_amount as year_cap_amount,
        least(
            month_ends.lifetime_cap_amount,
            main.exact_product(month_ends.hardware_amount, month_ends.return_multiple)
        ) as lifetime_limit_amount,
        coalesce(advances.advances, []) as advances,
        -- A month's last step is its step 0, which the first of the next month follows; before the first of all is nothing.
        coalesce(case when lag(all_steps.service_month) over step_order is null then month_ends.previous_point_no end, all_steps.point_no)
            as previous_point_no,
        coalesce(lag(all_steps.service_month) over step_order, month_ends.previous_month, date '0001-01-01') as previous_month,
        case when lag(all_steps.service_month) over step_order = all_steps.service_month then lag(all_steps.segment_no) over step_order else 0 end
            as previous_step_no
    from all_steps
    inner join month_ends
        on
            all_steps.contract_id = month_ends.contract_id
            and all_steps.point_no = month_ends.point_no
            and all_steps.share_id = month_ends.share_id
            and all_steps.service_month = month_ends.service_month
    inner join period_terms as quarters
        on
            quarters.period = 'quarter'
            and all_steps.contract_id = quarters.contract_id
            and all_steps.point_no = quarters.point_no
            and all_steps.share_id = quarters.share_id
            and all_steps.service_month = quarters.service_month
    inner join period_terms as years
        on
            years.period = 'year'
            and all_steps.contract_id = years.contract_id
            and all_steps.point_no = years.point_no
            and all_steps.share_id = years.share_id
            and all_steps.service_month = years.service_month
    left join tier_shares
        on
            all_steps.contract_id = tier_shares.contract_id
            and all_steps.point_no = tier_shares.point_no
            and all_steps.share_id = tier_shares.share_id
            and all_steps.service_month = tier_shares.service_month
            and all_steps.segment_no = tier_shares.segment_no
    left join paid_tiers
        on
            all_steps.contract_id = paid_tiers.contract_id
            and all_steps.share_id = paid_tiers.share_id
            and all_steps.amendment_id = paid_tiers.amendment_id
    left join advances
        on
            all_steps.contract_id = advances.contract_id
            and all_steps.point_no = advances.point_no
            and all_steps.share_id = advances.share_id
            and all_steps.service_month = advances.service_month
    window
        month_steps as (partition by all_steps.contract_id, all_steps.point_no, all_steps.share_id, all_steps.service_month),
        step_order as (
            partition by all_steps.contract_id, all_steps.point_no, all_steps.share_id order by all_steps.service_month, all_steps.segment_no
        )
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
        cast([] as struct(advance_id varchar, used_amount decimal(38, 18))[]) as used_advances
    from inputs
    where previous_month = date '0001-01-01'
    union all
    (
        with drawn as (
            select
                inputs.*,
                steps.used_advances,
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
                list_append(known_rates, main.share_paid_cliff(
                    base_amount, cast(cumulative_share_amount + month_share_before_amount as decimal(38, 18)), paid_tiers
                )[1].rate) as axis_rates,
                case when combine = 'max' then list_max(axis_rates) else list_min(axis_rates) end as breakpoint_rate,
                cast(case
                    when breakpoint_minimum_amount is null then base_amount
                    when breakpoint_rate = 0 then 0
                    else greatest(0, base_amount - main.exact_ratio(breakpoint_minimum_amount, 1, breakpoint_rate))
                end as decimal(38, 18)) as shared_base_amount
            from drawn
        ),

        -- Tiers on the share paid: what was accrued before the month, and for marginal ones what its segments have been worth since, minima
        -- included; for the parts of a year, what was accrued before it.
        climbed as (
            select
                *,
                case
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
                            coalesce(slices, []),
                            base_amount,
                            combine
                        )
                end as paid_cuts
            from paid
        ),

        tiered as (
            select
                * exclude (tier_share_amount),
                cast(case
                    when paid_tiers is null then coalesce(tier_share_amount, 0)
                    else coalesce(list_sum(list_transform(paid_cuts, lambda cut: cut.share_amount)), 0)
                end as decimal(38, 18)) as tier_share_amount
            from climbed
        ),

        activated as (
            select
                *,
                case when is_active then tier_share_amount else 0 end as earned_amount
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
                * exclude (accruals, cumulative_share_amount, true_up_carried_amount, used_advances),
                main.used_after(used_advances, recoupments, is_month_end, minor_unit_digits) as used_advances,
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
            used_advances
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
        sum(base_amount) filter (where not is_true_up) as base_amount,
        sum(minimum_amount) filter (where not is_true_up) as minimum_amount,
        bool_and(is_active) as is_active,
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
    cast(month_bases.base_amount - paid_cuts.base_amount as decimal(38, 18)) as breakpoint_of_share_paid_amount,
    steps.month_tier_share_amount as tier_share_amount,
    month_bases.is_active,
    steps.month_earned_amount as earned_amount,
    steps.month_credited_amount as credited_amount,
    cast(
        coalesce(month_bases.minimum_amount, 0) + coalesce(month_bases.quarter_minimum_amount, 0) + coalesce(month_bases.year_minimum_amount, 0)
        as decimal(38, 18)
    ) as minimum_amount,
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
    steps.recoupments,
    paid_cuts.paid_cuts
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
