-- The landed files that a month's statements rest on, each from when its first row about the month was known.
with parks as (
    select
        park_id,
        time_zone
    from {{ ref('stg_park') }}
),

months as (
    select
        contract_id,
        park_id,
        posting_month as service_month,
        timezone(time_zone, cast(posting_month as timestamp)) as from_at,
        ended_at as to_at
    from {{ ref('int_closes') }}
),

park_months as (
    select distinct
        park_id,
        service_month,
        from_at,
        to_at
    from months
),

-- Many leases use an hour.
used_hours as (
    select
        park_id,
        file_id,
        interval_start_at,
        min(recorded_at) as recorded_at
    from {{ source('raw', 'lease_usage') }}
    group by park_id, file_id, interval_start_at
),

-- What happens on a day or at an instant belongs to its month.
dated_rows as (
    select
        used_hours.park_id,
        'lease_usage' as feed,
        used_hours.file_id,
        cast(date_trunc('month', timezone(parks.time_zone, used_hours.interval_start_at)) as date) as service_month,
        used_hours.recorded_at
    from used_hours
    inner join parks on used_hours.park_id = parks.park_id
    union all
    select
        park_id,
        'lease_adjustments' as feed,
        file_id,
        cast(date_trunc('month', service_date) as date) as service_month,
        recorded_at
    from {{ source('raw', 'lease_adjustments') }}
    union all
    select
        payments.park_id,
        'payments' as feed,
        payments.file_id,
        cast(date_trunc('month', timezone(parks.time_zone, payments.received_at)) as date) as service_month,
        payments.recorded_at
    from {{ source('raw', 'payments') }} as payments
    inner join parks on payments.park_id = parks.park_id
    union all
    select
        park_id,
        'gpu_telemetry' as feed,
        file_id,
        cast(date_trunc('month', service_date) as date) as service_month,
        min_recorded_at as recorded_at
    from {{ source('raw', 'lake_file') }}
    where feed = 'gpu_telemetry'
),

files as (
    select
        park_id,
        feed,
        file_id,
        service_month,
        min(recorded_at) as recorded_at
    from dated_rows
    group by park_id, feed, file_id, service_month
    union all
    -- A lease counts in every month that it touches, an event in its month and those after it.
    select
        leases.park_id,
        'leases' as feed,
        leases.file_id,
        park_months.service_month,
        min(leases.recorded_at) as recorded_at
    from {{ source('raw', 'leases') }} as leases
    inner join park_months
        on
            leases.park_id = park_months.park_id
            and leases.starts_at < park_months.to_at
            and coalesce(leases.ends_at > park_months.from_at, true)
    group by leases.park_id, leases.file_id, park_months.service_month
    union all
    select
        events.park_id,
        'credit_events' as feed,
        events.file_id,
        park_months.service_month,
        min(events.recorded_at) as recorded_at
    from {{ source('raw', 'credit_events') }} as events
    inner join park_months on events.park_id = park_months.park_id and events.effective_at < park_months.to_at
    group by events.park_id, events.file_id, park_months.service_month
)

select
    months.contract_id,
    months.service_month,
    files.feed,
    files.file_id,
    greatest(files.recorded_at, late.known_not_before_at) as known_from_at
from files
inner join months on files.park_id = months.park_id and files.service_month = months.service_month
left join {{ ref('stg_late_file') }} as late on files.park_id = late.park_id and files.file_id = late.file_id
