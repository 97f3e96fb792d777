select
    observed_date,
    gpu_model,
    kind,
    park_id,
    price_per_gpu,
    currency_code
from {{ source('raw', 'hardware_value') }}
