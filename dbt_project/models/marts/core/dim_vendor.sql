select
    vendor_id,
    vendor_name,
    issuer_id,
    fiscal_year_end_month,
    fiscal_year_end_rule
from {{ ref('stg_vendor') }}
