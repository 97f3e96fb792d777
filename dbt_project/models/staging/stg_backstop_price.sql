select
    contract_id,
    amendment_id,
    from_month,
    to_month,
    price_per_gpu_hour,
    index_id
from {{ source('raw', 'backstop_price') }}
