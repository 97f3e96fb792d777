-- Which closed months did late data change, and by how much?
select
    contract_id,
    service_month,
    posting_month,
    event,
    sum(amount) filter (where account like '%receivable%') as receivable_change_amount,
    count(distinct entry_id) as entry_count,
    min(posted_at) as first_posted_at,
    currency_code
from ledger.fct_journal_lines
where corrects_entry_id is not null
group by contract_id, service_month, posting_month, event, currency_code
order by first_posted_at, contract_id, service_month, event
