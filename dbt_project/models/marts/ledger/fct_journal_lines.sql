-- Each event debits one account and credits another; a negative difference turns both signs.
with accounts (event, debit_account, credit_account) as (
    values
    ('accrue_share', 'unbilled_share_receivable', 'share_revenue'),
    ('invoice_share', 'trade_receivable', 'unbilled_share_receivable'),
    ('credit_note', 'trade_receivable', 'unbilled_share_receivable'),
    ('grant_cash_advance', 'unrecouped_advance', 'cash'),
    ('grant_advance', 'unrecouped_advance', 'advance_obligation'),
    ('recoup_advance', 'unbilled_share_receivable', 'unrecouped_advance'),
    ('give_up_advance', 'advance_cost', 'unrecouped_advance'),
    ('receive_cash', 'cash', 'unapplied_cash'),
    ('accrue_claim', 'backstop_cost', 'backstop_payable'),
    ('pay_claim', 'backstop_payable', 'cash'),
    ('write_off', 'allowance_for_credit_losses', 'trade_receivable'),
    ('recovery', 'cash', 'allowance_for_credit_losses')
),

sides (side_no, side_sign) as (
    values (1, 1), (2, -1)
)

select
    entries.entry_id,
    cast((entries.currency_no - 1) * 2 + sides.side_no as integer) as line_no,
    entries.contract_id,
    case sides.side_no when 1 then accounts.debit_account else accounts.credit_account end as account,
    entries.event,
    cast(entries.amount * sides.side_sign as decimal(18, 2)) as amount,
    entries.currency_code,
    entries.service_month,
    entries.posting_month,
    entries.posted_at,
    entries.is_provisional,
    entries.corrects_entry_id,
    entries.terms_version,
    cast('{{ env_var("PARKLEDGER_RUN_ID", "adhoc") }}' as varchar) as run_id
from {{ ref('int_journal_entries') }} as entries
inner join accounts on entries.event = accounts.event
cross join sides
