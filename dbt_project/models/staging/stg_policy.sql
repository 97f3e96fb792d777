select
    policy,
    value_text
from {{ source('raw', 'policy') }}
