-- Conservation of hours, hour by hour and day by day, to the last digit.
{{ config(meta={'dagster': {'ref': {'name': 'fct_capacity_day'}}}) }}

select
    tranche_id,
    cast(interval_start_at as varchar) as place
from {{ ref('fct_capacity_hour') }}
where
    installed_gpu_hours != no_sample_gpu_hours + fault_gpu_hours + maintenance_gpu_hours + available_gpu_hours
    or least(no_sample_gpu_hours, fault_gpu_hours, maintenance_gpu_hours, available_gpu_hours, leased_gpu_hours, busy_gpu_hours) < 0
union all
select
    days.tranche_id,
    cast(days.service_date as varchar) as place
from {{ ref('fct_capacity_day') }} as days
full join (
    select
        tranche_id,
        service_date,
        sum(installed_gpu_hours) as installed_gpu_hours,
        sum(leased_gpu_hours) as leased_gpu_hours
    from {{ ref('fct_capacity_hour') }}
    group by tranche_id, service_date
) as hours
    on days.tranche_id = hours.tranche_id and days.service_date = hours.service_date
where
    days.installed_gpu_hours is distinct from hours.installed_gpu_hours
    or days.leased_gpu_hours is distinct from hours.leased_gpu_hours
