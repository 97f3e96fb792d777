-- depends_on: {{ ref('stg_credit_events') }}
-- What may still be claimed after each ended month follows from, as one fingerprint: the terms that lie ahead, the capacity as it stands, and the
-- events and leases known at the month's end.
with months as (
    select
        contract_id,
        as_of_month,
        any_value(park_id) as park_id,
        any_value(ended_at) as ended_at,
        sum({{ fact_number(['versions']) }}) as number
    from {{ ref('int_exposure_versions') }} as versions
    group by contract_id, as_of_month
),

-- Contracts of a park see the same facts: those that a month's end sees first, and with them all that were seen before.
month_ends as (
    select distinct
        park_id,
        ended_at
    from months
),

new_facts as (
    select
        month_ends.park_id,
        month_ends.ended_at,
        sum(facts.exposure_number) as number
    from {{ ref('int_known_facts') }} as facts
    asof join month_ends
        on facts.park_id = month_ends.park_id and facts.known_from_at <= month_ends.ended_at
    group by month_ends.park_id, month_ends.ended_at
),

seen_facts as (
    select
        month_ends.park_id,
        month_ends.ended_at,
        sum(coalesce(new_facts.number, 0)) over (partition by month_ends.park_id order by month_ends.ended_at) as number
    from month_ends
    left join new_facts on month_ends.park_id = new_facts.park_id and month_ends.ended_at = new_facts.ended_at
),

capacity as (
    {%- for model in ['stg_backstop_ramp', 'stg_backstop_price', 'stg_tranche', 'stg_contract'] %}
    select
        rows_of.contract_id,
        {{ fact_number(["'" ~ model ~ "'", 'rows_of']) }} as number
    from {{ ref(model) }} as rows_of
    union all
    {%- endfor %}
    select
        contracts.contract_id,
        {{ fact_number(['vendors']) }} as number
    from {{ ref('stg_contract') }} as contracts
    inner join {{ ref('stg_vendor') }} as vendors on contracts.vendor_id = vendors.vendor_id
)

select
    months.contract_id,
    months.as_of_month,
    md5(concat_ws(
        '|', '{{ ledger_code() }}', agreed.number, months.number, seen_facts.number
    )) as exposure_fingerprint
from months
inner join seen_facts on months.park_id = seen_facts.park_id and months.ended_at = seen_facts.ended_at
left join (
    select
        contract_id,
        sum(number) as number
    from capacity
    group by contract_id
) as agreed
    on months.contract_id = agreed.contract_id
