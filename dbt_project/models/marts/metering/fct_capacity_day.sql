{{ config(
    materialized='incremental',
    incremental_strategy='park_days',
    follows='capacity',
    on_schema_change='append_new_columns',
    post_hook="{{ keep_fingerprints('capacity') }}"
) }}

with sums as (
    select
        tranche_id,
        service_date,
        any_value(park_id) as park_id,
        {% for hours in ['installed', 'no_sample', 'fault', 'maintenance', 'curtailment', 'available', 'leased', 'busy'] -%}
        cast(sum({{ hours }}_gpu_hours) as decimal(28, 9)) as {{ hours }}_gpu_hours,
        {% endfor -%}
        cast(sum(it_energy_kwh) as decimal(28, 9)) as it_energy_kwh,
        cast(sum(main.exact_product(coverage_fraction, installed_gpu_hours)) as decimal(28, 9)) as covered_gpu_hours
    from {{ ref('fct_capacity_hour') }} as hours
    {{ days_to_build('hours', 'capacity') }}
    group by tranche_id, service_date
)

select
    * exclude (covered_gpu_hours),
    {{ fraction_of('leased_gpu_hours', 'available_gpu_hours') }} as occupancy_fraction,
    -- Of hours that nobody measured it is not known whether they were busy.
    case when covered_gpu_hours > 0 then {{ fraction_of('busy_gpu_hours', 'leased_gpu_hours') }} end as utilization_fraction,
    {{ fraction_of('covered_gpu_hours', 'installed_gpu_hours') }} as coverage_fraction
from sums
