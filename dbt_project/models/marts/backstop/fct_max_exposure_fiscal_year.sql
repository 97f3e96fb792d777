select
    contract_id,
    as_of_month,
    vendor_fiscal_year,
    max_exposure_amount,
    currency_code
from {{ ref('int_max_exposure') }}
