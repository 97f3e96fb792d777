-- GPUs withdrawn by the operator on each day of a backstop segment, as known at each point; days without any have no row.
with events as (
    select
        segments.contract_id,
        segments.point_no,
        segments.tranche_id,
        segments.service_month,
        segments.segment_no,
        segments.gpu_count as tranche_gpu_count,
        segments.from_date,
        segments.to_date,
        events.event_id,
        events.kind,
        events.gpu_count,
        {{ withdrawal_acts_at('events', 'segments') }} as acts_at_local,
        {{ first_day_from('acts_at_local') }} as acts_date
    from {{ ref('int_backstop_segments') }} as segments
    inner join {{ ref('stg_credit_events') }} as events
        on
            segments.park_id = events.park_id
            and (segments.tranche_id = events.tranche_id or (events.tranche_id is null and segments.contract_id = events.contract_id))
            and {{ known_at('events', 'segments.known_at') }}
    where {{ is_withdrawal_or_recall('events', 'segments') }}
),

days as (
    select
        contract_id,
        point_no,
        tranche_id,
        service_month,
        segment_no,
        tranche_gpu_count,
        cast(unnest(generate_series(from_date, to_date, interval 1 day)) as date) as service_date,
        list(
            struct_pack(is_recall := kind = 'recall', gpu_count := gpu_count, acts_date := acts_date)
            order by acts_at_local, event_id
        ) as steps
    from events
    group by contract_id, point_no, tranche_id, service_month, segment_no, tranche_gpu_count, from_date, to_date
),

withdrawn as (
    select
        * exclude (steps),
        main.withdrawn_gpu_count(steps, tranche_gpu_count, service_date) as withdrawn_gpu_count
    from days
)

select
    contract_id,
    point_no,
    tranche_id,
    service_month,
    segment_no,
    service_date,
    withdrawn_gpu_count
from withdrawn
where withdrawn_gpu_count > 0
