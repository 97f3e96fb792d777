-- How old is the receivable, month by month?
pivot credit.fct_ageing_month on bucket using sum(open_amount)
group by contract_id, month
order by contract_id, month
