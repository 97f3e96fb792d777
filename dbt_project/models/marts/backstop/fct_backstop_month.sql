-- Each month as known at the clock, from the point at which it stands.
with tranche_months as (
    select
        hours.contract_id,
        hours.point_no,
        hours.tranche_id,
        hours.service_month,
        {% for column in [
            'installed', 'excluded_raw', 'excluded', 'committed', 'third_party', 'vendor_use', 'unsold', 'deductible', 'claim'
        ] -%}
        sum(hours.{{ column }}_gpu_hours) as {{ column }}_gpu_hours,
        {% endfor -%}
        sum(hours.claim_before_caps_amount) as claim_before_caps_amount,
        sum(hours.guaranteed_gpu_hours) as guaranteed_gpu_hours,
        sum(hours.guaranteed_amount) as guaranteed_amount,
        sum(hours.third_party_revenue_amount) as third_party_revenue_amount,
        sum(coalesce(hours.shortfall_amount, 0)) as shortfall_amount,
        min(hours.buyback_price_per_gpu_hour) as lowest_price,
        max(hours.buyback_price_per_gpu_hour) as highest_price,
        sum(hours.to_date - hours.from_date + 1) as days_in_force
    from {{ ref('int_backstop_claims') }} as hours
    semi join (
        select
            contract_id,
            state_point_no,
            service_month
        from {{ ref('int_known_months') }}
        where is_clock
    ) as clock_months
        on
            hours.contract_id = clock_months.contract_id
            and hours.point_no = clock_months.state_point_no
            and hours.service_month = clock_months.service_month
    group by hours.contract_id, hours.point_no, hours.tranche_id, hours.service_month
),

with_months as (
    select
        tranche_months.*,
        months.currency_code,
        months.minor_unit_digits,
        months.amendment_id,
        months.is_capped,
        months.claim_amount as contract_claim_amount,
        months.before_caps_amount as contract_before_caps_amount
    from tranche_months
    inner join {{ ref('int_backstop_month_states') }} as months
        on
            tranche_months.contract_id = months.contract_id
            and tranche_months.service_month = months.service_month
            and tranche_months.point_no = months.point_no
),

capped_claims as (
    select *
    from with_months
    where is_capped
),

capped as (
    {{ largest_remainder(
        'capped_claims', 'contract_id, service_month', 'contract_claim_amount', 'claim_before_caps_amount', 'minor_unit_digits', 'tranche_id'
    ) }}
),

claims as (
    select * from capped
    union all by name
    select
        *,
        main.rounded_money(claim_before_caps_amount, minor_unit_digits) as part_amount
    from with_months
    where not is_capped
)

select
    tranche_id,
    service_month,
    contract_id,
    cast(days_in_force as integer) as days_in_force,
    {% for column in [
        'installed', 'excluded_raw', 'excluded', 'committed', 'third_party', 'vendor_use', 'unsold', 'deductible', 'claim'
    ] -%}
    cast({{ column }}_gpu_hours as decimal(28, 9)) as {{ column }}_gpu_hours,
    {% endfor -%}
    cast(case
        when is_capped then main.exact_ratio(claim_gpu_hours, contract_claim_amount, contract_before_caps_amount) else claim_gpu_hours
    end as decimal(28, 9)) as bought_back_gpu_hours,
    -- An amendment in the month may change the price: then the mean that the claim pays.
    case
        when lowest_price = highest_price then lowest_price
        when claim_gpu_hours = 0 then null
        else cast(main.exact_ratio(claim_before_caps_amount - shortfall_amount, 1, claim_gpu_hours) as decimal(18, 9))
    end as buyback_price_per_gpu_hour,
    cast(guaranteed_gpu_hours as decimal(28, 9)) as guaranteed_gpu_hours,
    main.settled(guaranteed_amount) as guaranteed_amount,
    main.settled(third_party_revenue_amount) as third_party_revenue_amount,
    main.settled(claim_before_caps_amount) as claim_before_caps_amount,
    part_amount as claim_amount,
    currency_code,
    amendment_id as terms_version
from claims
