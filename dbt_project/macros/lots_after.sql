{#
    Lots of make-up hours after a use, as a DuckDB scalar macro: lots_after(lots, used_gpu_hours) takes the hours from the first lot on.
    A lot is {expires_month, gpu_hours}.
#}
{% macro create_lots_after() %}
create or replace macro main.lots_after(lots, used_gpu_hours) as (
    list_transform(lots, lambda lot, place: {
        'expires_month': lot.expires_month,
        'gpu_hours': cast(lot.gpu_hours - least(lot.gpu_hours, greatest(
            0, used_gpu_hours - coalesce(list_sum(list_transform(lots[1:place - 1], lambda earlier: earlier.gpu_hours)), 0)
        )) as decimal(38, 12))
    })
)
{% endmacro %}
