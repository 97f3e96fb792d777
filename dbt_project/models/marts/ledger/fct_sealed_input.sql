select
    contract_id,
    posting_month,
    service_month,
    feed,
    file_id
from {{ source('raw', 'sealed_input') }}
