select
    contract_id,
    share_id,
    amendment_id,
    criterion_no,
    metric,
    operator,
    value,
    test_window_months,
    cure_months
from {{ source('raw', 'share_activation') }}
