with exposures as (
    select
        exposures.contract_id,
        exposures.as_of_month,
        exposures.vendor_fiscal_year,
        -- Sums of parts that are cut at 18 decimals: years that are equal are so to fewer.
        cast(round(exposures.max_exposure_amount, 12) as decimal(38, 18)) as exact_amount,
        contracts.currency_code,
        contracts.minor_unit_digits,
        main.rounded_money(
            sum(exposures.max_exposure_amount) over (partition by exposures.contract_id, exposures.as_of_month), contracts.minor_unit_digits
        ) as contract_amount
    from {{ ref('int_max_exposure') }} as exposures
    inner join {{ ref('stg_contract') }} as contracts on exposures.contract_id = contracts.contract_id
),

open_exposures as (
    select *
    from exposures
    where contract_amount > 0
),

-- The contract's amount is rounded once, so that it stays within the cap; the years add up to it.
parts as (
    {{ largest_remainder(
        'open_exposures', 'contract_id, as_of_month', 'contract_amount', 'exact_amount', 'minor_unit_digits', 'vendor_fiscal_year'
    ) }}
)

select
    exposures.contract_id,
    exposures.as_of_month,
    exposures.vendor_fiscal_year,
    coalesce(parts.part_amount, cast(0 as decimal(18, 2))) as max_exposure_amount,
    exposures.currency_code
from exposures
left join parts
    on
        exposures.contract_id = parts.contract_id
        and exposures.as_of_month = parts.as_of_month
        and exposures.vendor_fiscal_year = parts.vendor_fiscal_year
