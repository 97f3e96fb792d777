-- How full was each park, and how hard did the leased GPUs work?
select
    park_id,
    cast(date_trunc('month', service_date) as date) as month,
    sum(leased_gpu_hours) / sum(available_gpu_hours) as occupancy_fraction,
    sum(busy_gpu_hours) / sum(leased_gpu_hours) as utilization_fraction,
    sum(available_gpu_hours) / sum(installed_gpu_hours) as availability_fraction
from metering.fct_capacity_day
group by park_id, date_trunc('month', service_date)
having sum(leased_gpu_hours) > 0
order by park_id, month
