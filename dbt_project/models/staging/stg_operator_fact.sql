select
    operator_id,
    contract_id,
    item,
    as_of_date,
    published_date,
    amount,
    currency_code
from {{ source('raw', 'operator_fact') }}
where contract_id is not null
