with clock_points as (
    select *
    from {{ ref('int_knowledge_points') }}
    where is_clock
),

-- Every ended month of a contract that has, or has had, a backstop.
months as (
    select
        closes.contract_id,
        closes.posting_month as service_month,
        closes.month_end_date,
        closes.currency_code,
        clock_points.known_at,
        clock_points.time_zone
    from {{ ref('int_closes') }} as closes
    inner join clock_points on closes.contract_id = clock_points.contract_id
),

payments as (
    select
        months.contract_id,
        months.service_month,
        sum(payments.amount) as paid_amount
    from months
    inner join {{ ref('stg_payments') }} as payments
        on
            months.contract_id = payments.contract_id
            and payments.direction = 'paid'
            and months.currency_code = payments.currency_code
            and {{ known_at('payments', 'months.known_at') }}
            and months.month_end_date >= cast(timezone(months.time_zone, payments.received_at) as date)
    group by months.contract_id, months.service_month
),

exposures as (
    select
        contract_id,
        as_of_month,
        sum(max_exposure_amount) as max_exposure_amount
    from {{ ref('fct_max_exposure_fiscal_year') }}
    group by contract_id, as_of_month
)

select
    months.contract_id,
    months.service_month,
    caps_left.cumulative_claim_amount as claimed_to_date_amount,
    cast(coalesce(payments.paid_amount, 0) as decimal(18, 2)) as paid_to_date_amount,
    -- Null where the contract has no lifetime cap.
    main.settled(caps_left.lifetime_cap_left_amount) as lifetime_cap_left_amount,
    cast(coalesce(exposures.max_exposure_amount, 0) as decimal(18, 2)) as max_exposure_amount,
    months.currency_code
from months
inner join {{ ref('int_backstop_caps_left') }} as caps_left
    on months.contract_id = caps_left.contract_id and months.service_month = caps_left.service_month
left join payments on months.contract_id = payments.contract_id and months.service_month = payments.service_month
left join exposures on months.contract_id = exposures.contract_id and months.service_month = exposures.as_of_month
