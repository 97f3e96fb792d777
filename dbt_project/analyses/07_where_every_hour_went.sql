-- Where did every installed GPU-hour of a month go?
pivot backstop.fct_capacity_balance_month on use using sum(gpu_hours)
group by tranche_id, service_month
order by tranche_id, service_month
