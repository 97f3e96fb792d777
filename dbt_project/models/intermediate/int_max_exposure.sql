{{ config(
    materialized='incremental',
    incremental_strategy='as_of_months',
    follows='max_exposure',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_as_of_months('max_exposure') }}"
) }}

-- What may still be claimed after each ended month, on the terms, events and delivery schedule known at the month's end: committed less
-- deductible hours of every day to come, at the buy-back price, earliest days first under their period's cap.
with clock_points as (
    select *
    from {{ ref('int_knowledge_points') }}
    where is_clock
),

-- The vendor's fiscal years.
calendar as (
    select
        vendor_id,
        vendor_fiscal_year,
        min(calendar_date) as from_date,
        max(calendar_date) as to_date
    from {{ ref('int_vendor_calendar') }}
    group by vendor_id, vendor_fiscal_year
),

period_amounts as (
    select periods.*
    from {{ ref('int_exposure_periods') }} as periods
    {{ as_of_months_to_build('periods', 'max_exposure') }}
),

claim_periods as (
    select distinct
        contract_id,
        as_of_month,
        unnest([period_from_date, contract_year_from_date]) as period_from_date
    from period_amounts
),

-- What the months of a period, or of a contract year, have claimed up to the as-of month has used some of its cap.
claims_to_date as (
    select
        months.contract_id,
        months.service_month,
        months.cumulative_claim_amount
    from clock_points
    inner join {{ ref('int_backstop_months') }} as months
        on clock_points.contract_id = months.contract_id and clock_points.point_no = months.point_no
),

period_claims as (
    select
        claim_periods.contract_id,
        claim_periods.as_of_month,
        claim_periods.period_from_date,
        -- A period that begins after the as-of month has claimed nothing by then.
        greatest(0, claimed.cumulative_claim_amount - coalesce(before_period.cumulative_claim_amount, 0)) as claimed_amount
    from claim_periods
    asof join claims_to_date as claimed
        on claim_periods.contract_id = claimed.contract_id and claim_periods.as_of_month >= claimed.service_month
    asof left join claims_to_date as before_period
        on claim_periods.contract_id = before_period.contract_id and claim_periods.period_from_date > before_period.service_month
),

-- Casts: least() of two decimals would cut the running sum to the cap's two decimals.
period_runs as (
    select
        period_amounts.*,
        cast(
            {{ room_under('last_value(period_amounts.cap_amount) over whole_period', 'coalesce(period_claims.claimed_amount, 0)') }}
            as decimal(38, 18)
        ) as room_amount,
        sum(period_amounts.amount) over (
            partition by period_amounts.contract_id, period_amounts.as_of_month, period_amounts.period_from_date
            order by period_amounts.last_date
        ) as running_amount
    from period_amounts
    left join period_claims
        on
            period_amounts.contract_id = period_claims.contract_id
            and period_amounts.as_of_month = period_claims.as_of_month
            and period_amounts.period_from_date = period_claims.period_from_date
    window whole_period as (
        partition by period_amounts.contract_id, period_amounts.as_of_month, period_amounts.period_from_date
        order by period_amounts.last_date rows between unbounded preceding and unbounded following
    )
),

year_runs as (
    select
        period_runs.* exclude (amount, room_amount, running_amount),
        least(period_runs.running_amount, period_runs.room_amount)
        - least(period_runs.running_amount - period_runs.amount, period_runs.room_amount) as amount,
        cast(
            {{ room_under('last_value(period_runs.annual_cap_amount) over whole_year', 'coalesce(year_claims.claimed_amount, 0)') }}
            as decimal(38, 18)
        ) as room_amount,
        sum(
            least(period_runs.running_amount, period_runs.room_amount)
            - least(period_runs.running_amount - period_runs.amount, period_runs.room_amount)
        ) over (
            partition by period_runs.contract_id, period_runs.as_of_month, period_runs.contract_year_from_date
            order by period_runs.last_date
        ) as running_amount
    from period_runs
    left join period_claims as year_claims
        on
            period_runs.contract_id = year_claims.contract_id
            and period_runs.as_of_month = year_claims.as_of_month
            and period_runs.contract_year_from_date = year_claims.period_from_date
    window whole_year as (
        partition by period_runs.contract_id, period_runs.as_of_month, period_runs.contract_year_from_date
        order by period_runs.last_date rows between unbounded preceding and unbounded following
    )
),

fiscal_years as (
    select
        contract_id,
        as_of_month,
        vendor_fiscal_year,
        sum(least(running_amount, room_amount) - least(running_amount - amount, room_amount)) as amount
    from year_runs
    group by contract_id, as_of_month, vendor_fiscal_year
),

-- The dearest end that the vendor may have to pay for, on the last day of the backstop: earlier, less could be claimed beside it.
ends as (
    select
        future_versions.contract_id,
        future_versions.as_of_month,
        max(future_versions.to_date) as last_date,
        max(terminations.termination_amount) as amount
    from {{ ref('int_exposure_versions') }} as future_versions
    inner join {{ ref('stg_backstop_termination') }} as terminations
        on future_versions.contract_id = terminations.contract_id and future_versions.amendment_id = terminations.amendment_id
    {{ as_of_months_to_build('future_versions', 'max_exposure') }}
    where terminations.payer = 'vendor' and terminations.termination_amount is not null
    group by future_versions.contract_id, future_versions.as_of_month
),

paid_years as (
    select
        contract_id,
        as_of_month,
        vendor_fiscal_year,
        sum(amount) as amount
    from (
        select * from fiscal_years
        union all by name
        select
            ends.contract_id,
            ends.as_of_month,
            calendar.vendor_fiscal_year,
            cast(ends.amount as decimal(38, 18)) as amount
        from ends
        inner join {{ ref('stg_contract') }} as contracts on ends.contract_id = contracts.contract_id
        inner join calendar
            on contracts.vendor_id = calendar.vendor_id and ends.last_date between calendar.from_date and calendar.to_date
    ) as years
    group by contract_id, as_of_month, vendor_fiscal_year
),

-- The lifetime cap that is left is used up in the order of time.
runs as (
    select
        fiscal_years.*,
        cast(caps_left.lifetime_cap_left_amount as decimal(38, 18)) as cap_left_amount,
        sum(fiscal_years.amount) over (
            partition by fiscal_years.contract_id, fiscal_years.as_of_month order by fiscal_years.vendor_fiscal_year
        ) as running_amount
    from paid_years as fiscal_years
    inner join {{ ref('int_backstop_caps_left') }} as caps_left
        on fiscal_years.contract_id = caps_left.contract_id and fiscal_years.as_of_month = caps_left.service_month
),

exposures as (
    select
        contract_id,
        as_of_month,
        vendor_fiscal_year,
        cast(least(running_amount, cap_left_amount) - least(running_amount - amount, cap_left_amount) as decimal(38, 18)) as exposure_amount
    from runs
),

contract_exposures as (
    select
        exposures.contract_id,
        exposures.as_of_month,
        exposures.vendor_fiscal_year,
        -- Sums of parts that are cut at 18 decimals: years that are equal are so to fewer.
        cast(round(exposures.exposure_amount, 12) as decimal(38, 18)) as exact_amount,
        contracts.currency_code,
        contracts.minor_unit_digits,
        main.rounded_money(
            sum(exposures.exposure_amount) over (partition by exposures.contract_id, exposures.as_of_month), contracts.minor_unit_digits
        ) as contract_amount
    from exposures
    inner join {{ ref('stg_contract') }} as contracts on exposures.contract_id = contracts.contract_id
),

open_exposures as (
    select *
    from contract_exposures
    where contract_amount > 0
),

-- The contract's amount is rounded once, so that it stays within the cap; the years add up to it.
parts as (
    {{ largest_remainder(
        'open_exposures', 'contract_id, as_of_month', 'contract_amount', 'exact_amount', 'minor_unit_digits', 'vendor_fiscal_year'
    ) }}
)

select
    contract_exposures.contract_id,
    contract_exposures.as_of_month,
    contract_exposures.vendor_fiscal_year,
    coalesce(parts.part_amount, cast(0 as decimal(18, 2))) as max_exposure_amount,
    contract_exposures.currency_code
from contract_exposures
left join parts
    on
        contract_exposures.contract_id = parts.contract_id
        and contract_exposures.as_of_month = parts.as_of_month
        and contract_exposures.vendor_fiscal_year = parts.vendor_fiscal_year
