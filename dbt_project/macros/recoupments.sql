{#
    What advances take of a base or a share, as DuckDB scalar macros.

    recoupments(advances, used, amount)              list of {advance_id, recoup_order, recouped_amount}: of each the rate times the amount, at
                                                     most what is left of it, nothing of a negative amount; DECIMAL(38, 18)
    used_after(used, recouped, is_month_end, digits) list of {advance_id, used_amount}: what has been recouped of each to date, rounded to the
                                                     currency's minor unit at the end of each month, as it is booked

    used_by_then(used, is_month_end, digits)         the same, each rounded where the month ends

    advances is a list of {advance_id, recoup_order, principal_amount, recoupment_rate}; used is what used_after gave before.
#}
{% macro create_recoupments() %}
create or replace macro main.used_of_advance(used, searched_id) as (
    coalesce(list_filter(used, lambda one: one.advance_id = searched_id)[1].used_amount, 0::decimal(38, 18))
);
create or replace macro main.recoupments(advances, used, amount) as (
    list_transform(advances, lambda advance: {
        'advance_id': advance.advance_id,
        'recoup_order': advance.recoup_order,
        'recouped_amount': cast(greatest(0, least(
            advance.principal_amount - main.used_of_advance(used, advance.advance_id),
            main.exact_product(amount, advance.recoupment_rate)
        )) as decimal(38, 18))
    })
);
create or replace macro main.used_after(used, recouped, is_month_end, digits) as (
    list_concat(
        list_filter(used, lambda one: not list_contains(list_transform(recouped, lambda r: r.advance_id), one.advance_id)),
        list_transform(recouped, lambda r: {
            'advance_id': r.advance_id,
            'used_amount': cast(case
                when is_month_end then main.rounded_money(main.used_of_advance(used, r.advance_id) + r.recouped_amount, digits)
                else main.used_of_advance(used, r.advance_id) + r.recouped_amount
            end as decimal(38, 18))
        })
    )
);
create or replace macro main.used_by_then(used, is_month_end, digits) as (
    case
        when is_month_end
            then list_transform(used, lambda one: {
                'advance_id': one.advance_id, 'used_amount': cast(main.rounded_money(one.used_amount, digits) as decimal(38, 18))
            })
        else used
    end
)
{% endmacro %}

{# What a segment recoups from the base, one list a segment. #}
{% macro base_advances(advances) -%}
select
        contract_id,
        point_no,
        share_id,
        service_month,
        segment_no,
        list({
            'advance_id': advance_id,
            'recoup_order': recoup_order,
            'principal_amount': principal_amount,
            'recoupment_rate': recoupment_rate
        } order by grant_date, advance_id) as advances
    from {{ advances }}
    where recoup_order in ('before_share', 'parallel')
    group by contract_id, point_no, share_id, service_month, segment_no
{%- endmacro %}
