-- What the use of each park and service month follows from, as one fingerprint: every row that was told of it, whether or not another took its place.
with numbers as (
    select
        usage_rows.park_id,
        parks.time_zone,
        cast(date_trunc('month', timezone(parks.time_zone, usage_rows.interval_start_at)) as date) as service_month,
        sum({{ fact_number([
            'usage_rows.lease_id', 'usage_rows.interval_start_at', 'usage_rows.recorded_at', 'usage_rows.known_from_at', 'usage_rows.content_hash',
            'usage_rows.file_id', 'usage_rows.line_no'
        ]) }}) as number
    from {{ ref('stg_lease_usage') }} as usage_rows
    inner join {{ ref('stg_park') }} as parks on usage_rows.park_id = parks.park_id
    group by all
)

select
    park_id,
    service_month,
    md5(concat_ws('|', '{{ use_code() }}', time_zone, number)) as use_fingerprint
from numbers
