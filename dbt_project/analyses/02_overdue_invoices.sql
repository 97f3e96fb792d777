-- Which invoices are overdue now, by how much and since when?
select
    contract_id,
    item_id,
    invoice_date,
    due_date,
    days_past_due,
    open_amount,
    disputed,
    currency_code
from credit.fct_receivable_item
where
    as_of_month = (select max(latest.as_of_month) from credit.fct_receivable_item as latest)
    and days_past_due > 0
    and open_amount > 0
order by days_past_due desc, item_id asc
