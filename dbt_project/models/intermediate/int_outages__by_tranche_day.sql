select
    tranche_id,
    park_id,
    service_date,
    state_at,
    {% for column in [
        'installed', 'declared_maintenance', 'declared_fault', 'declared_curtailment', 'declared_delivery', 'declared_force_majeure',
        'declared_acceptance_failed', 'undeclared_fault', 'undeclared_no_sample', 'maintenance', 'fault', 'no_sample', 'busy_milli_pct_seconds'
    ] -%}
    cast(sum({{ column }}) as hugeint) as {{ column }}{{ ',' if not loop.last }}
    {% endfor %}
from {{ ref('int_outages__by_tranche_hour') }}
group by tranche_id, park_id, service_date, state_at
