{{ config(
    materialized='incremental',
    incremental_strategy='park_days',
    follows='contradictions',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_fingerprints('contradictions') }}"
) }}

-- Hours that contradict each other, hour by hour and then summed: what one hour has too much another may lack.
-- GPUs under no contract and never leased are their owner's own: using them is no exception.
with sold as (
    select tranche_id
    from {{ ref('stg_tranche') }}
    where contract_id is not null
    union
    select tranche_id
    from {{ ref('stg_leases') }}
)

select
    hours.tranche_id,
    hours.park_id,
    hours.service_date,
    sum(greatest(0, hours.busy_gpu_hours - hours.leased_gpu_hours)) filter (where sold.tranche_id is not null) as busy_without_lease,
    sum(greatest(0, hours.leased_gpu_hours - (hours.installed_gpu_hours - hours.no_sample_gpu_hours))) as leased_without_telemetry,
    sum(greatest(0, hours.leased_gpu_hours - hours.installed_gpu_hours)) as over_leased
from {{ ref('fct_capacity_hour') }} as hours
left join sold on hours.tranche_id = sold.tranche_id
{{ days_to_build('hours', 'contradictions') }}
group by hours.tranche_id, hours.park_id, hours.service_date
