with distinct_contents as (
    {{ first_of_each_content(source('raw', 'lease_assignments'), 'park_id, lease_id, node_id, starts_at') }}
)

select
    park_id,
    lease_id,
    node_id,
    starts_at,
    ends_at,
    {{ knowledge_interval('park_id, lease_id, node_id, starts_at') }}
from distinct_contents
