select
    tranche_id,
    park_id,
    contract_id,
    gpu_model,
    gpu_count,
    planned_date,
    energised_date,
    nodes
from {{ source('raw', 'tranche') }}
