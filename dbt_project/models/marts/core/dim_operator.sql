select
    operator_id,
    operator_name,
    parent_id,
    country_code,
    rating,
    rating_agency
from {{ ref('stg_operator') }}
