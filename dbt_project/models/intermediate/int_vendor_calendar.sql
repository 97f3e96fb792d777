-- Each vendor's fiscal calendar, day by day, over the life of all contracts and a year on either side.
with bounds as (
    select
        cast(date_trunc('year', least(min(contracts.service_commencement_date), min(tranches.energised_date))) as date)
        - interval 1 year as first_day,
        cast(date_trunc('year', max(contracts.expiry_date)) as date) + interval 2 year - interval 1 day as last_day
    from {{ ref('stg_contract') }} as contracts
    left join {{ ref('stg_tranche') }} as tranches on contracts.contract_id = tranches.contract_id
),

years as (
    select
        vendors.vendor_id,
        vendors.fiscal_year_end_rule,
        year_start,
        last_day(cast(year_start + to_months(vendors.fiscal_year_end_month - 1) as date)) as month_end_date
    from {{ ref('stg_vendor') }} as vendors
    cross join bounds
    cross join unnest(
        generate_series(bounds.first_day - interval 1 year, bounds.last_day + interval 1 year, interval 1 year)
    ) as listed (year_start)
),

-- dayofweek: Sunday is 0. A year is named by the calendar year of its last day.
fiscal_years as (
    select
        vendor_id,
        fiscal_year_end_rule,
        month_end_date - cast(case fiscal_year_end_rule
            when 'last_sunday' then dayofweek(month_end_date)
            when 'last_saturday' then (dayofweek(month_end_date) + 1) % 7
            when 'last_friday' then (dayofweek(month_end_date) + 2) % 7
            else 0
        end as integer) as ends_date
    from years
),

bounded_years as (
    select
        vendor_id,
        fiscal_year_end_rule,
        cast(year(ends_date) as integer) as vendor_fiscal_year,
        lag(ends_date) over (partition by vendor_id order by ends_date) + 1 as starts_date,
        ends_date
    from fiscal_years
),

days as (
    select
        bounded_years.*,
        cast(unnest(generate_series(starts_date, ends_date, interval 1 day)) as date) as calendar_date
    from bounded_years
    where starts_date is not null
)

select
    days.vendor_id,
    days.calendar_date,
    cast(date_trunc('month', days.calendar_date) as date) as month,
    days.vendor_fiscal_year,
    -- Quarters have 13 weeks, a 53rd week is the fourth's; where years end with a month, quarters have three months.
    cast(case
        when days.fiscal_year_end_rule = 'month_end'
            then date_diff('month', date_trunc('month', days.starts_date), days.calendar_date) // 3 + 1
        else least(4, (days.calendar_date - days.starts_date) // 91 + 1)
    end as integer) as vendor_fiscal_quarter,
    cast((days.calendar_date - days.starts_date) // 7 + 1 as integer) as vendor_fiscal_week
from days
cross join bounds
where days.calendar_date between bounds.first_day and bounds.last_day
