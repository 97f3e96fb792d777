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

seen_facts as (
    select
        months.contract_id,
        months.as_of_month,
        sum(facts.exposure_number) as number
    from {{ ref('int_known_facts') }} as facts
    inner join (
        select distinct
            asked.contract_id,
            asked.park_id
        from months as asked
    ) as contracts
        on facts.park_id = contracts.park_id
    asof join months
        on contracts.contract_id = months.contract_id and facts.known_from_at <= months.ended_at
    group by months.contract_id, months.as_of_month
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
        '|', '{{ ledger_code() }}', agreed.number, months.number,
        sum(coalesce(seen_facts.number, 0)) over (partition by months.contract_id order by months.as_of_month)
    )) as exposure_fingerprint
from months
left join seen_facts on months.contract_id = seen_facts.contract_id and months.as_of_month = seen_facts.as_of_month
left join (
    select
        contract_id,
        sum(number) as number
    from capacity
    group by contract_id
) as agreed
    on months.contract_id = agreed.contract_id
