{# When a withdrawal or recall acts, on the zone's clock: a withdrawal after its notice, a recall at once. #}
{% macro withdrawal_acts_at(event, terms) -%}
timezone({{ terms }}.time_zone, {{ event }}.effective_at)
        + to_days(case when {{ event }}.kind = 'withdrawal' then coalesce({{ terms }}.withdrawal_notice_days, 0) else 0 end)
{%- endmacro %}

{# Whether an event takes out or brings back capacity under the terms: a withdrawal of fewer GPUs than agreed is none. #}
{% macro is_withdrawal_or_recall(event, terms) -%}
{{ event }}.kind in ('withdrawal', 'recall')
        and (
            {{ event }}.kind = 'recall'
            or {{ terms }}.withdrawal_tranche_min is null
            or coalesce({{ event }}.gpu_count, {{ terms }}.gpu_count) >= {{ terms }}.withdrawal_tranche_min
        )
{%- endmacro %}

{# The first service day that begins at a local time or later. #}
{% macro first_day_from(local_time) -%}
cast({{ local_time }} as date) + case when {{ local_time }} = date_trunc('day', {{ local_time }}) then 0 else 1 end
{%- endmacro %}

{#
    GPUs withdrawn by the operator on each day of the rows of a relation, as known then; days without any have no row.

    relation    stretches of days of a tranche under the same terms: park_id, contract_id, tranche_id, gpu_count, time_zone, from_date, to_date,
                withdrawal_notice_days, withdrawal_tranche_min, the keys and the instant
    keys        columns that name a stretch
    instant     its column that says by when events must be known
#}
{% macro withdrawn_days(relation, keys, instant) %}
with withdrawals as (
    select
        {% for key in keys %}stretches.{{ key }}, {% endfor %}
        stretches.gpu_count as tranche_gpu_count,
        stretches.from_date as stretch_from_date,
        stretches.to_date as stretch_to_date,
        events.event_id,
        events.kind,
        events.gpu_count,
        {{ withdrawal_acts_at('events', 'stretches') }} as acts_at_local,
        {{ first_day_from('acts_at_local') }} as acts_date
    from {{ relation }} as stretches
    inner join {{ ref('stg_credit_events') }} as events
        on
            stretches.park_id = events.park_id
            and (stretches.tranche_id = events.tranche_id or (events.tranche_id is null and stretches.contract_id = events.contract_id))
            and {{ known_at('events', 'stretches.' ~ instant) }}
    where {{ is_withdrawal_or_recall('events', 'stretches') }}
),

days as (
    select
        {{ keys | join(', ') }},
        tranche_gpu_count,
        cast(unnest(generate_series(stretch_from_date, stretch_to_date, interval 1 day)) as date) as service_date,
        list(
            struct_pack(is_recall := kind = 'recall', gpu_count := gpu_count, acts_date := acts_date)
            order by acts_at_local, event_id
        ) as steps
    from withdrawals
    group by {{ keys | join(', ') }}, tranche_gpu_count, stretch_from_date, stretch_to_date
),

withdrawn as (
    select
        * exclude (steps),
        main.withdrawn_gpu_count(steps, tranche_gpu_count, service_date) as withdrawn_gpu_count
    from days
)

select
    {{ keys | join(', ') }},
    service_date,
    withdrawn_gpu_count
from withdrawn
where withdrawn_gpu_count > 0
{% endmacro %}

{#
    withdrawn_gpu_count(steps, tranche_gpu_count, day), a DuckDB scalar macro: GPUs out of the commitment on a day, after a list of {is_recall,
    gpu_count, acts_date} in order. A withdrawal takes out no more than there is (all where it gives no count), a recall brings back what it says
    (all where it gives no count).
#}
{% macro create_withdrawn_gpu_count() %}
create or replace macro main.withdrawn_gpu_count(steps, tranche_gpu_count, day) as (
    list_reduce(
        list_filter(steps, lambda step: step.acts_date <= day),
        lambda standing, step: {
            'is_recall': false,
            'gpu_count': case
                when step.is_recall then greatest(0, standing.gpu_count - coalesce(step.gpu_count, standing.gpu_count))
                else least(tranche_gpu_count, standing.gpu_count + coalesce(step.gpu_count, tranche_gpu_count))
            end,
            'acts_date': step.acts_date
        },
        {'is_recall': false, 'gpu_count': 0, 'acts_date': date '0001-01-01'}
    ).gpu_count
)
{% endmacro %}
