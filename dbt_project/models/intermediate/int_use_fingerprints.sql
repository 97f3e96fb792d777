-- What the use of each park and service month follows from, as one fingerprint: every row that was told of it, whether or not another took its place.
-- Many leases use an hour: their rows are added up before the hour is given its month.
with hours as (
    select
        park_id,
        interval_start_at,
        sum({{ fact_number([
            'lease_id', 'interval_start_at', 'recorded_at', 'known_from_at', 'content_hash', 'file_id', 'line_no'
        ]) }}) as number
    from {{ ref('stg_lease_usage') }}
    group by park_id, interval_start_at
),

months as (
    select
        hours.park_id,
        parks.time_zone,
        cast(date_trunc('month', timezone(parks.time_zone, hours.interval_start_at)) as date) as service_month,
        sum(hours.number) as number
    from hours
    inner join {{ ref('stg_park') }} as parks on hours.park_id = parks.park_id
    group by all
)

select
    park_id,
    service_month,
    md5(concat_ws('|', '{{ use_code() }}', time_zone, number)) as use_fingerprint
from months
