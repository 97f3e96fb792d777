{#
    A base that hangs on the share, laid over its tiers, as DuckDB scalar macros.

    share_axis_slices(axis, base, before_amount, month_after_amount, month_base, month_hours, cumulative_application, cumulative_tiers, price_tiers,
                      weights)
        The base over the tiers of one axis: list of {tier_no, rate, slice_amount}. On the cumulative base, marginal, what lies between `before_amount`
        and what it is with the base, a negative one unwinding the last slices first; as a cliff the tier of the cumulative after the month. A price
        of the month as a whole: the tier of `month_base` ÷ `month_hours`, the first one without hours. Any other axis: in proportion to `weights`.

        cumulative_tiers, price_tiers  lists of {tier_no, from_value, to_value, rate} in the order of their bounds, null without such an axis
        weights                        list of {axis, tier_no, rate, weight_amount, takes_all}; where an axis weighs nothing, the first that takes
                                       all does

    share_part_base(members)           base of the members of one version: floor and breakpoint taken off their revenue, then what was recouped
    share_year_base(members)           sum of the bases of all versions among them
    share_base_passes(test, measures)  whether the mean base of the measured months, from the test's oldest on, meets it; true without any

    members is a list of {service_month, amendment_id, share_basis, is_active, earned_amount, floor_amount, breakpoint_amount, recouped_amount,
    gpu_hours, minimum_amount, cap_amount, cumulative_before_amount, weights}, one for each segment; measures one of {service_month, base_amount}.
#}
{% macro create_share_following_base() %}
create or replace macro main.share_weighted_slices(base, weights) as (
    list_transform(weights, lambda one, one_index: {
        'tier_no': one.tier_no,
        'rate': one.rate,
        'slice_amount': cast(case
            when list_sum(list_transform(weights, lambda w: w.weight_amount)) != 0
                then main.exact_ratio(base, one.weight_amount, list_sum(list_transform(weights, lambda w: w.weight_amount)))
            when one_index = list_position(list_transform(weights, lambda w: w.takes_all), true) then base
            else 0
        end as decimal(38, 18))
    })
);
create or replace macro main.share_cumulative_slices(base, before_amount, tiers) as (
    list_transform(tiers, lambda tier, tier_index: {
        'tier_no': tier.tier_no,
        'rate': tier.rate,
        'slice_amount': cast(sign(base) * greatest(
            0,
            least(
                greatest(before_amount, before_amount + base), coalesce(tier.to_value, greatest(before_amount, before_amount + base))
            )
            - greatest(
                least(before_amount, before_amount + base),
                case when tier_index = 1 then least(before_amount, before_amount + base) else tier.from_value end
            )
        ) as decimal(38, 18))
    })
);
create or replace macro main.share_price_cliff(base, month_base, month_hours, tiers) as (
    list_transform(
        list_filter(tiers, lambda tier, tier_index: case
            when month_hours = 0 then tier_index = 1
            else
                (tier_index = 1 or month_base >= main.exact_product(month_hours, tier.from_value))
                and (tier.to_value is null or month_base < main.exact_product(month_hours, tier.to_value))
        end),
        lambda tier: {'tier_no': tier.tier_no, 'rate': tier.rate, 'slice_amount': cast(base as decimal(38, 18))}
    )
);
create or replace macro main.share_axis_slices(
    axis, base, before_amount, month_after_amount, month_base, month_hours, cumulative_application, cumulative_tiers, price_tiers, weights
) as (
    list_filter(
        case
            when axis = 'cumulative_base' and cumulative_application = 'cliff'
                then main.share_paid_cliff(base, month_after_amount, cumulative_tiers)
            when axis = 'cumulative_base' then main.share_cumulative_slices(base, before_amount, cumulative_tiers)
            when axis = 'price_per_gpu_hour' and price_tiers is not null
                then main.share_price_cliff(base, month_base, month_hours, price_tiers)
            else main.share_weighted_slices(base, list_filter(weights, lambda one: one.axis = axis))
        end,
        lambda slice: slice.slice_amount != 0
    )
);
create or replace macro main.share_part_base(members) as (
    cast(case members[1].share_basis
        when 'pct_above_floor' then greatest(
            0,
            list_sum(list_transform(members, lambda m: m.earned_amount)) - list_sum(list_transform(members, lambda m: m.floor_amount))
        )
        when 'pct_above_breakpoint' then greatest(
            0,
            list_sum(list_transform(members, lambda m: m.earned_amount)) - list_sum(list_transform(members, lambda m: m.breakpoint_amount))
        )
        else coalesce(list_sum(list_transform(members, lambda m: m.earned_amount)), 0)
    end - coalesce(list_sum(list_transform(members, lambda m: m.recouped_amount)), 0) as decimal(38, 18))
);
create or replace macro main.share_year_base(members) as (
    cast(coalesce(list_sum(list_transform(
        list_distinct(list_transform(members, lambda m: m.amendment_id)),
        lambda version: main.share_part_base(list_filter(members, lambda m: m.amendment_id = version))
    )), 0) as decimal(38, 18))
);
create or replace macro main.share_base_passes_in(test, inside) as (
    case
        when len(inside) = 0 then true
        when test.operator = '>=' then list_sum(list_transform(inside, lambda m: m.base_amount)) >= test.value * len(inside)
        when test.operator = '>' then list_sum(list_transform(inside, lambda m: m.base_amount)) > test.value * len(inside)
        when test.operator = '<=' then list_sum(list_transform(inside, lambda m: m.base_amount)) <= test.value * len(inside)
        else list_sum(list_transform(inside, lambda m: m.base_amount)) < test.value * len(inside)
    end
);
create or replace macro main.share_base_passes(test, measures) as (
    main.share_base_passes_in(test, list_filter(measures, lambda m: m.service_month >= test.oldest_month))
)
{% endmacro %}
