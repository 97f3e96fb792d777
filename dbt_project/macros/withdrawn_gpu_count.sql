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
