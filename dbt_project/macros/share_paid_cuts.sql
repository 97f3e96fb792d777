{#
    A base laid over tiers on the share paid so far, as a DuckDB scalar macro:

    share_paid_cuts(base, paid, application, tiers, other_slices, other_base, combine)

    base          DECIMAL(38, 18), any sign
    paid          share of the life to date before the base, DECIMAL(38, 18)
    application   'marginal': the base is split where the share fills a tier exactly; 'cliff': the tier that holds `paid` takes it all
    tiers         list of {tier_no, from_value, to_value, rate} in the order of their bounds; below the first bound the first tier holds
    other_slices  list of {tier_no, rate, slice_amount} of a second axis, empty without one: each cuts each slice in proportion
    other_base    what the other slices add up to: the base, or what it is before a breakpoint is taken off
    combine       'min' or 'max' of the two rates, null without a second axis

    share_earned(slices)  what slices of {tier_no, rate, slice_amount} earn: {tier_no, rate, slice_amount, share_amount}, without empty ones

    Gives a list as share_earned does; the slices add up to the base. A tier holds base for (its upper bound less what is
    paid) ÷ rate; a negative base unwinds the last slices first. Where the rate is zero the share never moves: the tier takes all that is left.
#}
{% macro create_share_paid_cuts() %}
create or replace macro main.share_paid_room(base, paid, tier, is_first) as (
    cast(case
        when base >= 0
            then case
                when tier.to_value is null then 1000000000000000::decimal(38, 18)
                when tier.to_value <= paid then 0
                when tier.rate = 0 then 1000000000000000::decimal(38, 18)
                else main.exact_ratio(
                    tier.to_value - greatest(paid, case when is_first then paid else tier.from_value end), 1, tier.rate
                )
            end
        else case
            when is_first then 1000000000000000::decimal(38, 18)
            when tier.from_value >= paid then 0
            when tier.rate = 0 then 1000000000000000::decimal(38, 18)
            else main.exact_ratio(least(paid, coalesce(tier.to_value, paid)) - tier.from_value, 1, tier.rate)
        end
    end as decimal(38, 18))
);
create or replace macro main.share_paid_marginal(base, rooms, tiers) as (
    list_transform(tiers, lambda tier, tier_index: {
        'tier_no': tier.tier_no,
        'rate': tier.rate,
        'slice_amount': cast(
            sign(base) * greatest(0, least(
                rooms[tier_index],
                abs(base) - coalesce(list_sum(
                    case when base >= 0 then rooms[1:tier_index - 1] else rooms[tier_index + 1:] end
                ), 0)
            )) as decimal(38, 18)
        )
    })
);
create or replace macro main.share_paid_cliff(base, paid, tiers) as (
    list_transform(
        list_filter(
            tiers,
            lambda tier, tier_index: (tier_index = 1 or paid >= tier.from_value) and (tier.to_value is null or paid < tier.to_value)
        ),
        lambda tier: {'tier_no': tier.tier_no, 'rate': tier.rate, 'slice_amount': cast(base as decimal(38, 18))}
    )
);
create or replace macro main.share_paid_crossed(slices, other_slices, other_base, combine) as (
    -- Bound once: an argument of a macro is written out wherever it is named.
    list_transform([slices], lambda own_slices: case
        when len(other_slices) = 0 then own_slices
        else flatten(list_transform(own_slices, lambda slice: list_transform(other_slices, lambda other: {
            'tier_no': case
                when combine = 'min' and other.rate < slice.rate then other.tier_no
                when combine = 'max' and other.rate > slice.rate then other.tier_no
                else slice.tier_no
            end,
            'rate': case when combine = 'min' then least(slice.rate, other.rate) else greatest(slice.rate, other.rate) end,
            'slice_amount': main.exact_ratio(slice.slice_amount, other.slice_amount, other_base)
        })))
    end)[1]
);
create or replace macro main.share_earned(slices) as (
    list_transform(
        list_filter(slices, lambda cut: cut.slice_amount != 0),
        lambda cut: {
            'tier_no': cut.tier_no,
            'rate': cut.rate,
            'slice_amount': cut.slice_amount,
            'share_amount': main.exact_product(cut.slice_amount, cut.rate)
        }
    )
);
create or replace macro main.share_paid_cuts(base, paid, application, tiers, other_slices, other_base, combine) as (
    main.share_earned(
        main.share_paid_crossed(
            case
                when application = 'cliff' then main.share_paid_cliff(base, paid, tiers)
                else main.share_paid_marginal(
                    base,
                    list_transform(tiers, lambda tier, tier_index: main.share_paid_room(base, paid, tier, tier_index = 1)),
                    tiers
                )
            end,
            other_slices,
            other_base,
            combine
        )
    )
)
{% endmacro %}
