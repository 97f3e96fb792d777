select
    park_id,
    node_id,
    tranche_id
from {{ source('raw', 'lake_node') }}
