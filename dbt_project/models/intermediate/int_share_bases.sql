{{ config(
    materialized='incremental',
    incremental_strategy='known_points',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_points() }}"
) }}

-- The base of each segment, one after the other: a negative one may be carried into the next. The first that a point knows otherwise follows from
-- where the one before it stands.
with recursive
segments as (
    select
        segments.*,
        coalesce(segments.service_month != lead(segments.service_month) over (
            partition by segments.contract_id, segments.point_no, segments.share_id order by segments.sequence_no
        ), true) as is_month_end
    from {{ ref('int_share_segments') }} as segments
    {{ points_to_build('segments') }}
),

revenue as (
    select
        components.contract_id,
        components.point_no,
        components.share_id,
        components.service_month,
        components.segment_no,
        sum(components.measured_amount + components.excluded_amount) as revenue_amount,
        sum(components.gpu_hours) as gpu_hours
    from {{ ref('int_share_revenue') }} as components
    {{ points_to_build('components') }}
    group by components.contract_id, components.point_no, components.share_id, components.service_month, components.segment_no
),

-- A natural breakpoint is the minimum over a rate: on each axis that of the contract month, of the segment's first day, at the cumulative
-- before it, or of the first tier; of two axes the smaller or the larger, as they are combined.
tiers as (
    select
        *,
        -- Below the first bound the first tier holds.
        row_number() over (
            partition by contract_id, share_id, amendment_id, axis
            order by coalesce(from_value, 0), coalesce(from_month, 1), coalesce(from_date, date '0001-01-01'), tier_no
        ) = 1 as is_first
    from {{ ref('stg_share_tier') }}
),

cumulative_tiers as (
    select
        contract_id,
        share_id,
        amendment_id,
        list(struct_pack(from_value := case when is_first then null else from_value end, to_value := to_value, rate := rate)) as tiers
    from tiers
    where axis = 'cumulative_base'
    group by contract_id, share_id, amendment_id
),

known_rates as (
    select
        segments.contract_id,
        segments.point_no,
        segments.share_id,
        segments.service_month,
        segments.segment_no,
        list(tiers.rate) as rates
    from segments
    inner join tiers
        on
            segments.contract_id = tiers.contract_id
            and segments.share_id = tiers.share_id
            and segments.amendment_id = tiers.amendment_id
    where
        segments.share_basis = 'pct_above_breakpoint'
        and case tiers.axis
            when 'contract_month'
                then segments.contract_month between coalesce(tiers.from_month, 1) and coalesce(tiers.to_month, segments.contract_month)
            when 'date'
                then segments.from_date between coalesce(tiers.from_date, segments.from_date) and coalesce(tiers.to_date, segments.from_date)
            when 'cumulative_base' then false
            -- Taken where the share is known: int_share_month_states.
            when 'cumulative_share_paid' then false
            else tiers.is_first
        end
    group by segments.contract_id, segments.point_no, segments.share_id, segments.service_month, segments.segment_no
),

-- Advances recouped from the base; those recouped from the share wait for it.
advances as (
    {{ base_advances(ref('int_share_advances')) }}
),

inputs as (
    select
        segments.contract_id,
        segments.point_no,
        segments.share_id,
        segments.service_month,
        segments.segment_no,
        segments.sequence_no,
        coalesce(segments.previous_point_no, segments.point_no) as previous_point_no,
        segments.share_basis,
        segments.negative_base = 'carry_forward' and segments.share_basis in ('pct_of_base', 'greater_of_min_or_pct') as carries_forward,
        coalesce(revenue.revenue_amount, 0::decimal(38, 18)) as revenue_amount,
        coalesce(revenue.gpu_hours, 0::decimal(38, 18)) as gpu_hours,
        case segments.share_basis
            when 'pct_above_floor' then main.exact_product(coalesce(revenue.gpu_hours, 0), coalesce(segments.floor_price_per_gpu_hour, 0))
            else 0
        end as floor_amount,
        case
            when coalesce(segments.has_breakpoint_of_share_paid, false) then 0::decimal(38, 18)
            else {{ prorated('segments.breakpoint_amount', 'segments') }}
        end as breakpoint_amount,
        case when segments.minimum_period = 'month' then {{ prorated('segments.minimum_amount', 'segments') }} end as minimum_amount,
        coalesce(cumulative_tiers.tiers, []) as cumulative_tiers,
        coalesce(known_rates.rates, []) as known_rates,
        segments.combine,
        -- Where the base hangs on the share, what is recouped of it does.
        case when coalesce(segments.base_follows_share, false) then [] else coalesce(advances.advances, []) end as advances,
        segments.minor_unit_digits,
        segments.is_month_end
    from segments
    left join revenue
        on
            segments.contract_id = revenue.contract_id
            and segments.point_no = revenue.point_no
            and segments.share_id = revenue.share_id
            and segments.service_month = revenue.service_month
            and segments.segment_no = revenue.segment_no
    left join cumulative_tiers
        on
            segments.contract_id = cumulative_tiers.contract_id
            and segments.share_id = cumulative_tiers.share_id
            and segments.amendment_id = cumulative_tiers.amendment_id
    left join known_rates
        on
            segments.contract_id = known_rates.contract_id
            and segments.point_no = known_rates.point_no
            and segments.share_id = known_rates.share_id
            and segments.service_month = known_rates.service_month
            and segments.segment_no = known_rates.segment_no
    left join advances
        on
            segments.contract_id = advances.contract_id
            and segments.point_no = advances.point_no
            and segments.share_id = advances.share_id
            and segments.service_month = advances.service_month
            and segments.segment_no = advances.segment_no
),

started as (
    select
        contract_id,
        point_no,
        share_id,
        0 as sequence_no,
        cast(null as date) as service_month,
        0 as segment_no,
        0::decimal(38, 18) as revenue_amount,
        0::decimal(38, 18) as gpu_hours,
        0::decimal(38, 18) as floor_amount,
        0::decimal(38, 18) as breakpoint_amount,
        cast([] as decimal(18, 9)[]) as known_rates,
        0::decimal(38, 18) as carried_in_amount,
        0::decimal(38, 18) as carried_out_amount,
        cast([] as struct(advance_id varchar, recoup_order varchar, recouped_amount decimal(38, 18))[]) as recoupments,
        cast([] as struct(advance_id varchar, used_amount decimal(38, 18))[]) as used_advances,
        0::decimal(38, 18) as recouped_before_share_amount,
        0::decimal(38, 18) as base_amount,
        0::decimal(38, 18) as cumulative_base_before_amount,
        0::decimal(38, 18) as cumulative_base_after_amount
    from inputs
    where sequence_no = 1
    {%- if has_points_that_stand() %}
    union all by name
    select kept.*
    from {{ this }} as kept
    semi join inputs
        on
            kept.contract_id = inputs.contract_id
            and kept.point_no = inputs.previous_point_no
            and kept.share_id = inputs.share_id
            and kept.sequence_no + 1 = inputs.sequence_no
    anti join inputs as built on kept.contract_id = built.contract_id and kept.point_no = built.point_no
    {%- endif %}
),

steps as (
    select * from started
    union all
    select
        contract_id,
        point_no,
        share_id,
        sequence_no,
        service_month,
        segment_no,
        revenue_amount,
        gpu_hours,
        floor_amount,
        breakpoint_amount,
        known_rates,
        carried_in_amount,
        carried_out_amount,
        recoupments,
        main.used_after(used_advances, recoupments, is_month_end, minor_unit_digits) as used_advances,
        recouped_before_share_amount,
        cast(unrecouped_base_amount - recouped_before_share_amount as decimal(38, 18)) as base_amount,
        cumulative_base_before_amount,
        cast(cumulative_base_before_amount + unrecouped_base_amount - recouped_before_share_amount as decimal(38, 18))
            as cumulative_base_after_amount
    from (
        select
            *,
            -- What is recouped before the share leaves the base; what is recouped beside it does not.
            cast(coalesce(list_sum(list_transform(
                list_filter(recoupments, lambda one: one.recoup_order = 'before_share'), lambda one: one.recouped_amount
            )), 0) as decimal(38, 18)) as recouped_before_share_amount
        from (
            select
                * exclude (uncarried_base_amount),
                cast(case when carries_forward then least(0, uncarried_base_amount) else 0 end as decimal(38, 18)) as carried_out_amount,
                cast(case when carries_forward then greatest(0, uncarried_base_amount) else uncarried_base_amount end as decimal(38, 18))
                    as unrecouped_base_amount,
                main.recoupments(advances, used_advances, uncarried_base_amount) as recoupments
            from (
                select
                    *,
                    cast(case share_basis
                        when 'pct_above_floor' then greatest(0, revenue_amount + carried_in_amount - floor_amount)
                        when 'pct_above_breakpoint' then greatest(0, revenue_amount + carried_in_amount - breakpoint_amount)
                        else revenue_amount + carried_in_amount
                    end as decimal(38, 18)) as uncarried_base_amount
                from (
                    select
                        * exclude (breakpoint_amount, breakpoint_rate),
                        cast(case
                            when share_basis != 'pct_above_breakpoint' then 0
                            when breakpoint_amount is not null then breakpoint_amount
                            when minimum_amount is null then 0
                            -- A rate of nothing has a breakpoint that nothing reaches.
                            when breakpoint_rate = 0 then greatest(0, revenue_amount + carried_in_amount)
                            else main.exact_ratio(minimum_amount, 1, breakpoint_rate)
                        end as decimal(38, 18)) as breakpoint_amount
                    from (
                        select
                            inputs.contract_id,
                            inputs.point_no,
                            inputs.share_id,
                            inputs.sequence_no,
                            inputs.service_month,
                            inputs.segment_no,
                            inputs.share_basis,
                            inputs.carries_forward,
                            inputs.revenue_amount,
                            inputs.gpu_hours,
                            inputs.advances,
                            inputs.minor_unit_digits,
                            inputs.is_month_end,
                            inputs.minimum_amount,
                            inputs.breakpoint_amount,
                            inputs.known_rates,
                            steps.used_advances,
                            cast(inputs.floor_amount as decimal(38, 18)) as floor_amount,
                            steps.carried_out_amount as carried_in_amount,
                            steps.cumulative_base_after_amount as cumulative_base_before_amount,
                            list_concat(
                                inputs.known_rates,
                                list_transform(
                                    list_filter(
                                        inputs.cumulative_tiers,
                                        lambda tier:
                                        (tier.from_value is null or steps.cumulative_base_after_amount >= tier.from_value)
                                        and (tier.to_value is null or steps.cumulative_base_after_amount < tier.to_value)
                                    ),
                                    lambda tier: tier.rate
                                )
                            ) as axis_rates,
                            case when inputs.combine = 'max' then list_max(axis_rates) else list_min(axis_rates) end as breakpoint_rate
                        from steps
                        inner join inputs
                            on
                                steps.contract_id = inputs.contract_id
                                and steps.point_no = inputs.previous_point_no
                                and steps.share_id = inputs.share_id
                                and steps.sequence_no + 1 = inputs.sequence_no
                    ) as paired
                ) as drawn
            ) as uncarried
        ) as recouping
    ) as computed
)

select *
from steps
semi join inputs on steps.contract_id = inputs.contract_id and steps.point_no = inputs.point_no
where sequence_no > 0
