select
    rate_date,
    from_currency,
    to_currency,
    rate,
    source
from {{ source('raw', 'fx_rate') }}
