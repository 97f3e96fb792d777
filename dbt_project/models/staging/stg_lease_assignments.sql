with known_rows as (
    {{ rows_known(source('raw', 'lease_assignments')) }}
)

select
    park_id,
    lease_id,
    node_id,
    starts_at,
    ends_at,
    {{ knowledge_interval('park_id, lease_id, node_id, starts_at') }}
from known_rows
