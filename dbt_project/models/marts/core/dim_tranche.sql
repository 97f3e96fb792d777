select
    tranche_id,
    contract_id,
    park_id,
    gpu_model,
    gpu_count,
    planned_date,
    energised_date
from {{ ref('stg_tranche') }}
