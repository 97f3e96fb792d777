-- What each park's facts are worth as numbers, by the instant from which they are known: all of them, and those alone on which what may still be
-- claimed rests. A fact that lands late with an early instant changes the number of that instant.
with facts as (
    {%- for feed, keys in [
        ('leases', ['lease_id', 'version']), ('credit_events', ['event_id']), ('lease_usage', ['lease_id', 'interval_start_at']),
        ('lease_adjustments', ['adjustment_id']), ('payments', ['payment_id'])
    ] %}
    select
        park_id,
        known_from_at,
        {{ fact_number(keys + ['recorded_at', 'content_hash']) }} as number,
        {{ feed in ('leases', 'credit_events') }} as is_of_exposure
    from {{ ref('stg_' ~ feed) }}
    union all
    {%- endfor %}
    select
        states.park_id,
        states.known_from_at,
        {{ fact_number(['outages']) }} as number,
        false as is_of_exposure
    from {{ ref('int_outage_states') }} as states
    inner join {{ ref('int_outages__by_tranche_day') }} as outages
        on
            states.tranche_id = outages.tranche_id
            and states.service_date = outages.service_date
            and states.state_at = outages.state_at
)

select
    park_id,
    known_from_at,
    cast(sum(number) as hugeint) as number,
    cast(coalesce(sum(number) filter (where is_of_exposure), 0) as hugeint) as exposure_number
from facts
group by park_id, known_from_at
