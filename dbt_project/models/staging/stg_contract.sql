select
    contract_id,
    vendor_id,
    operator_id,
    park_id,
    currency_code,
    minor_unit_digits,
    signed_date,
    service_commencement_date,
    expiry_date,
    is_booked
from {{ source('raw', 'contract') }}
