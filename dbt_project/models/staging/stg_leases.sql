with known_rows as (
    {{ rows_known(source('raw', 'leases')) }}
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
from known_rows
