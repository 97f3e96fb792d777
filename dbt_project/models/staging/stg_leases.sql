with distinct_contents as (
    {{ first_of_each_content(source('raw', 'leases'), 'park_id, lease_id, version') }}
)

select
    park_id,
    lease_id,
    version,
    tenant_id,
    tenant_name,
    tenant_parent_id,
    contract_id,
    tranche_id,
    gpu_model,
    gpu_count,
    starts_at,
    ends_at,
    price_per_gpu_hour,
    currency_code,
    workload,
    customer_type,
    pricing,
    status,
    {{ knowledge_interval('park_id, lease_id, version', version_column='version') }}
from distinct_contents
