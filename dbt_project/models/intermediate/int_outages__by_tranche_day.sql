{{ config(
    materialized='incremental',
    incremental_strategy='park_days',
    follows='outages',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_fingerprints('outages') }}"
) }}

select
    tranche_id,
    park_id,
    service_date,
    state_at,
    {% for column in [
        'installed', 'declared_maintenance', 'declared_fault', 'declared_curtailment', 'declared_delivery', 'declared_force_majeure',
        'declared_acceptance_failed', 'undeclared_fault', 'undeclared_no_sample', 'maintenance', 'fault', 'no_sample', 'busy_milli_pct_seconds'
    ] -%}
    cast(sum({{ column }}) as hugeint) as {{ column }},
    {% endfor -%}
    -- For who must set something else against the silence of each hour.
    list(cast(undeclared_no_sample as hugeint) order by interval_start_at) filter (where undeclared_no_sample > 0) as undeclared_no_sample_hours
from {{ ref('int_outages__by_tranche_hour') }} as hours
{{ days_to_build('hours', 'outages') }}
group by tranche_id, park_id, service_date, state_at
