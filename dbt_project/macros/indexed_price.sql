{# The levels of each price index that a point of knowledge sees, as a list by date; `points` has contract_id, park_id, time_zone. #}
{% macro price_index_levels(points, point_key, instant) -%}
select
        {{ points }}.contract_id,
        {{ points }}.{{ point_key }},
        json_extract_string(events.payload, '$.index') as index_id,
        list(
            struct_pack(
                level_date := cast(timezone({{ points }}.time_zone, events.effective_at) as date),
                level := cast(json_extract_string(events.payload, '$.level') as decimal(18, 9))
            ) order by events.effective_at, events.known_from_at, events.event_id
        ) as levels
    from {{ points }}
    inner join {{ ref('stg_credit_events') }} as events
        on
            {{ points }}.park_id = events.park_id
            and ({{ points }}.contract_id = events.contract_id or events.contract_id is null)
            and {{ known_at('events', instant) }}
    where events.kind = 'price_index'
    group by {{ points }}.contract_id, {{ points }}.{{ point_key }}, json_extract_string(events.payload, '$.index')
{%- endmacro %}

{#
    indexed(amount, levels, base_date, on_date), a DuckDB scalar macro: an amount of the base date at a later date, DECIMAL(38, 18); and
    indexed_price(…), the same of a price, rounded once to nine decimals, DECIMAL(18, 9).

    amount × level on the date ÷ level on the base date; a level holds from its date until the next one. Before the
    first level, and without any, the amount is as stated; where the base date has none yet, the first level is the base.
#}
{% macro create_indexed_price() %}
create or replace macro main.level_on(levels, day) as (
    list_filter(levels, lambda one: one.level_date <= day)[-1].level
);
create or replace macro main.indexed(amount, levels, base_date, on_date) as (
    case
        when main.level_on(levels, on_date) is null then cast(amount as decimal(38, 18))
        else main.exact_ratio(amount, main.level_on(levels, on_date), coalesce(main.level_on(levels, base_date), levels[1].level))
    end
);
create or replace macro main.indexed_price(price, levels, base_date, on_date) as (
    cast(main.indexed(price, levels, base_date, on_date) as decimal(18, 9))
)
{% endmacro %}
