select
    vendor_id,
    calendar_date,
    month,
    vendor_fiscal_year,
    vendor_fiscal_quarter,
    vendor_fiscal_week
from {{ ref('int_vendor_calendar') }}
