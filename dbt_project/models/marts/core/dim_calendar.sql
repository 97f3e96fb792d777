-- One calendar for the home: that of the vendor with the most booked contracts. Others stand in dim_vendor_calendar.
with home_vendor as (
    select contracts.vendor_id
    from {{ ref('stg_contract') }} as contracts
    group by contracts.vendor_id
    order by count(*) filter (where contracts.is_booked) desc, contracts.vendor_id
    limit 1
)

select
    calendar.calendar_date,
    calendar.month,
    calendar.vendor_fiscal_year,
    calendar.vendor_fiscal_quarter,
    calendar.vendor_fiscal_week,
    calendar.vendor_id
from {{ ref('int_vendor_calendar') }} as calendar
inner join home_vendor on calendar.vendor_id = home_vendor.vendor_id
