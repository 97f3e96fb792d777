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
        segments.time_zone,
        events.event_id,
        events.kind,
        events.gpu_count,
        -- A withdrawal acts after its notice, a recall at once; both from the first service day that begins then or later.
        timezone(segments.time_zone, events.effective_at)
        + to_days(case when events.kind = 'withdrawal' then coalesce(segments.withdrawal_notice_days, 0) else 0 end) as acts_at_local
    from {{ ref('int_backstop_segments') }} as segments
    inner join {{ ref('stg_credit_events') }} as events
        on
            segments.park_id = events.park_id
            and (segments.tranche_id = events.tranche_id or (events.tranche_id is null and segments.contract_id = events.contract_id))
            and {{ known_at('events', 'segments.known_at') }}
    where events.kind in ('withdrawal', 'recall')
),

dated_events as (
    select
        *,
        cast(acts_at_local as date) + case when acts_at_local = date_trunc('day', acts_at_local) then 0 else 1 end as acts_date
    from events
),

days as (
    select distinct
        contract_id,
        point_no,
        tranche_id,
        service_month,
        segment_no,
        tranche_gpu_count,
        cast(unnest(generate_series(from_date, to_date, interval 1 day)) as date) as service_date
    from dated_events
),

-- In order: a withdrawal takes out no more than there is, a recall without a count brings all back.
histories as (
    select
        days.contract_id,
        days.point_no,
        days.tranche_id,
        days.service_month,
        days.segment_no,
        days.service_date,
        days.tranche_gpu_count,
        list(
            {'is_recall': dated_events.kind = 'recall', 'gpu_count': dated_events.gpu_count}
            order by dated_events.acts_date, dated_events.acts_at_local, dated_events.event_id
        ) as steps
    from days
    inner join dated_events
        on
            days.contract_id = dated_events.contract_id
            and days.point_no = dated_events.point_no
            and days.tranche_id = dated_events.tranche_id
            and days.service_month = dated_events.service_month
            and days.segment_no = dated_events.segment_no
            and days.service_date >= dated_events.acts_date
    group by all
),

withdrawn as (
    select
        * exclude (steps),
        list_reduce(
            steps,
            lambda standing, step: {
                'is_recall': false,
                'gpu_count': case
                    when step.is_recall then greatest(0, standing.gpu_count - coalesce(step.gpu_count, standing.gpu_count))
                    else least(tranche_gpu_count, standing.gpu_count + coalesce(step.gpu_count, tranche_gpu_count))
                end
            },
            {'is_recall': false, 'gpu_count': 0}
        ).gpu_count as withdrawn_gpu_count
    from histories
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
