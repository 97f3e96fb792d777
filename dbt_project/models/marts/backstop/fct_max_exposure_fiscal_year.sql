select
    exposures.contract_id,
    exposures.as_of_month,
    exposures.vendor_fiscal_year,
    main.rounded_money(exposures.max_exposure_amount, contracts.minor_unit_digits) as max_exposure_amount,
    contracts.currency_code
from {{ ref('int_max_exposure') }} as exposures
inner join {{ ref('stg_contract') }} as contracts on exposures.contract_id = contracts.contract_id
