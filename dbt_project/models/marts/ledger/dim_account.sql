select
    account,
    account_type,
    normal_side,
    statement_line,
    is_control
from {{ ref('chart_of_accounts') }}
