select
    event,
    debit_account,
    credit_account,
    description
from {{ ref('journal_events') }}
