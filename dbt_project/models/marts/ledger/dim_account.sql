select
    account,
    account_type,
    normal_side,
    statement_line
from (
    values
    ('cash', 'asset', 'debit', 'Cash and cash equivalents'),
    ('unbilled_share_receivable', 'asset', 'debit', 'Accrued income'),
    ('trade_receivable', 'asset', 'debit', 'Accounts receivable'),
    ('interest_receivable', 'asset', 'debit', 'Other receivables'),
    ('unrecouped_advance', 'asset', 'debit', 'Other assets'),
    ('allowance_for_credit_losses', 'contra_asset', 'credit', 'Accounts receivable'),
    ('unapplied_cash', 'liability', 'credit', 'Customer deposits'),
    ('backstop_payable', 'liability', 'credit', 'Accrued liabilities'),
    ('interest_payable', 'liability', 'credit', 'Accrued liabilities'),
    ('advance_obligation', 'liability', 'credit', 'Accrued liabilities'),
    ('share_revenue', 'income', 'credit', 'Revenue'),
    ('late_interest_income', 'income', 'credit', 'Interest income'),
    ('late_interest_cost', 'expense', 'debit', 'Interest expense'),
    ('backstop_cost', 'expense', 'debit', 'Cost of revenue'),
    ('advance_cost', 'expense', 'debit', 'Cost of revenue'),
    ('credit_loss_expense', 'expense', 'debit', 'Selling, general and administrative')
) as accounts (account, account_type, normal_side, statement_line)
