-- The name and kind that the lease recorded last gives.
select
    tenant_id,
    tenant_name,
    tenant_parent_id,
    customer_type
from {{ ref('stg_leases') }}
where is_current
qualify row_number() over (partition by tenant_id order by recorded_at desc, lease_id desc, version desc) = 1
