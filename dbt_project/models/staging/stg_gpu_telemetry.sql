select
    park_id,
    service_date,
    tranche_id,
    gpu_id,
    node_id,
    gpu_model,
    sampled_at,
    interval_start_at,
    utilization_milli_pct,
    power_microwatt,
    gpu_count,
    energy_mj,
    memory_used_mib,
    xid_code,
    recorded_at,
    file_id
from {{ source('raw', 'gpu_telemetry') }}
where recorded_at <= (select home.clock_at from {{ source('raw', 'home') }} as home)
