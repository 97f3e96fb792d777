{{ config(
    materialized='incremental',
    incremental_strategy='as_of_months',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_as_of_months() }}"
) }}

-- What may still be claimed after each ended month before any cap, period by period of the cap in force: committed less deductible hours of every day
-- to come, at the buy-back price. Nothing of it follows from what was known later than the month's end.
with future_versions as (
    select versions.*
    from {{ ref('int_exposure_versions') }} as versions
    {{ as_of_months_to_build('versions') }}
),

as_of_months as (
    select distinct
        contract_id,
        as_of_month,
        park_id,
        time_zone,
        ended_at
    from future_versions
),

-- Acceptance, commercial operation and first leases known by the month's end.
condition_events as (
    select
        as_of_months.contract_id,
        as_of_months.as_of_month,
        events.tranche_id,
        case events.kind when 'commercial_operation' then 'COD' else events.kind end as effective_event,
        timezone(as_of_months.time_zone, events.effective_at) as happened_at_local
    from as_of_months
    inner join {{ ref('stg_credit_events') }} as events
        on as_of_months.park_id = events.park_id and {{ known_at('events', 'as_of_months.ended_at') }}
    where events.kind in ('acceptance', 'commercial_operation')
    union all
    select
        as_of_months.contract_id,
        as_of_months.as_of_month,
        leases.tranche_id,
        'lease_commencement' as effective_event,
        timezone(as_of_months.time_zone, leases.starts_at) as happened_at_local
    from as_of_months
    inner join {{ ref('stg_tranche') }} as tranches on as_of_months.contract_id = tranches.contract_id
    inner join {{ ref('stg_leases') }} as leases
        on
            as_of_months.park_id = leases.park_id
            and tranches.tranche_id = leases.tranche_id
            and {{ known_at('leases', 'as_of_months.ended_at') }}
    where
        leases.status in ('active', 'ended')
        and as_of_months.contract_id in (
            select waiting.contract_id
            from {{ ref('stg_backstop_terms') }} as waiting
            where waiting.effective_event = 'lease_commencement'
        )
),

conditions as (
    select
        contract_id,
        as_of_month,
        tranche_id,
        effective_event,
        min({{ first_day_from('happened_at_local') }}) as effective_date
    from condition_events
    group by contract_id, as_of_month, tranche_id, effective_event
),

price_index_levels as (
    {{ price_index_levels('as_of_months', 'as_of_month', 'as_of_months.ended_at') }}
),

-- A tranche not energised by the month's end is taken as planned, and tomorrow where that day has passed.
scheduled as (
    select
        future_versions.*,
        tranches.tranche_id,
        tranches.gpu_count,
        case
            when tranches.energised_date <= future_versions.month_end_date then tranches.energised_date
            else greatest(tranches.planned_date, future_versions.month_end_date + 1)
        end as energised_date,
        -- A condition that has not come about by then may do so tomorrow.
        greatest(
            case
                when tranches.energised_date <= future_versions.month_end_date then tranches.energised_date
                else greatest(tranches.planned_date, future_versions.month_end_date + 1)
            end,
            case
                when future_versions.effective_event in ('energised', 'signing') then null
                else coalesce(conditions.effective_date, future_versions.month_end_date + 1)
            end
        ) as starts_date,
        tranches.planned_date
    from future_versions
    inner join {{ ref('stg_tranche') }} as tranches on future_versions.contract_id = tranches.contract_id
    left join conditions
        on
            future_versions.contract_id = conditions.contract_id
            and future_versions.as_of_month = conditions.as_of_month
            and tranches.tranche_id = conditions.tranche_id
            and future_versions.effective_event = conditions.effective_event
    where future_versions.committed_fraction is not null
),

-- Months, cut where a fiscal year of the vendor begins.
calendar as (
    select
        vendor_id,
        month,
        vendor_fiscal_year,
        min(calendar_date) as from_date,
        max(calendar_date) as to_date
    from {{ ref('int_vendor_calendar') }}
    group by vendor_id, month, vendor_fiscal_year
),

pieces as (
    select
        scheduled.* exclude (from_date, to_date),
        calendar.month as service_month,
        calendar.vendor_fiscal_year,
        greatest(calendar.from_date, scheduled.from_date, scheduled.starts_date) as from_date,
        least(calendar.to_date, scheduled.to_date) as to_date
    from scheduled
    inner join {{ ref('stg_contract') }} as contracts on scheduled.contract_id = contracts.contract_id
    inner join calendar
        on
            contracts.vendor_id = calendar.vendor_id
            and greatest(scheduled.from_date, scheduled.starts_date) <= calendar.to_date
            and scheduled.to_date >= calendar.from_date
    where
        (
            scheduled.longstop_days is null
            or scheduled.starts_date <= coalesce(scheduled.planned_date, scheduled.starts_date) + scheduled.longstop_days
        )
        and greatest(scheduled.from_date, scheduled.starts_date) <= scheduled.to_date
),

-- Capacity withdrawn by what was known then, day by day.
withdrawal_days as (
    {{ withdrawn_days(
        'pieces', ['contract_id', 'as_of_month', 'tranche_id', 'amendment_id', 'from_date', 'time_zone'], 'ended_at'
    ) | indent(4) }}
),

withdrawn as (
    select
        contract_id,
        as_of_month,
        tranche_id,
        amendment_id,
        from_date,
        sum(
            cast(withdrawn_gpu_count as hugeint) * (
                epoch_us(timezone(time_zone, cast(service_date + 1 as timestamp)))
                - epoch_us(timezone(time_zone, cast(service_date as timestamp)))
            )
        ) as withdrawn_gpu_microseconds
    from withdrawal_days
    group by contract_id, as_of_month, tranche_id, amendment_id, from_date
),

piece_hours as (
    select
        pieces.*,
        pieces.to_date - pieces.from_date + 1 as days_in_force,
        day(last_day(pieces.service_month)) as days_in_month,
        main.exact_quotient(
            cast(pieces.gpu_count as hugeint) * (
                epoch_us(timezone(pieces.time_zone, cast(pieces.to_date + 1 as timestamp)))
                - epoch_us(timezone(pieces.time_zone, cast(pieces.from_date as timestamp)))
            ) - coalesce(withdrawn.withdrawn_gpu_microseconds, 0),
            3600000000
        ) as installed_gpu_hours,
        main.exact_product(
            main.exact_product(installed_gpu_hours, pieces.committed_fraction), coalesce(ramps.fraction, 1)
        ) as committed_gpu_hours,
        main.indexed_price(
            prices.price_per_gpu_hour, levels.levels, pieces.service_commencement_date, pieces.service_month
        ) as price_per_gpu_hour
    from pieces
    left join withdrawn
        on
            pieces.contract_id = withdrawn.contract_id
            and pieces.as_of_month = withdrawn.as_of_month
            and pieces.tranche_id = withdrawn.tranche_id
            and pieces.amendment_id = withdrawn.amendment_id
            and pieces.from_date = withdrawn.from_date
    left join {{ ref('stg_backstop_ramp') }} as ramps
        on
            pieces.contract_id = ramps.contract_id
            and pieces.amendment_id = ramps.amendment_id
            and date_diff('month', date_trunc('month', pieces.energised_date), pieces.service_month) + 1
            between ramps.from_month and ramps.to_month
    left join {{ ref('stg_backstop_price') }} as prices
        on
            pieces.contract_id = prices.contract_id
            and pieces.amendment_id = prices.amendment_id
            and date_diff('month', date_trunc('month', pieces.service_commencement_date), pieces.service_month) + 1
            between prices.from_month and coalesce(prices.to_month, 2147483647)
    left join price_index_levels as levels
        on
            pieces.contract_id = levels.contract_id
            and pieces.as_of_month = levels.as_of_month
            and prices.index_id = levels.index_id
),

-- Of several deductibles the one that is largest over the tranche's month counts on all its days.
piece_deductibles as (
    select
        *,
        coalesce({{ prorated('piece_hours.deductible_gpu_hours', 'piece_hours') }}, 0) as agreed_gpu_hours,
        coalesce(main.exact_product(committed_gpu_hours, deductible_fraction), 0) as of_committed_gpu_hours,
        coalesce(main.exact_product(installed_gpu_hours, first_loss_band), 0) as of_installed_gpu_hours,
        sum(agreed_gpu_hours) over tranche_month as month_agreed_gpu_hours,
        sum(of_committed_gpu_hours) over tranche_month as month_of_committed_gpu_hours,
        sum(of_installed_gpu_hours) over tranche_month as month_of_installed_gpu_hours
    from piece_hours
    window tranche_month as (partition by contract_id, as_of_month, service_month, tranche_id, amendment_id)
),

piece_amounts as (
    select
        contract_id,
        as_of_month,
        service_month,
        vendor_fiscal_year,
        -- The caps of a month are those in force on its last day.
        last_value(period_cap_period) over month_pieces as period_cap_period,
        last_value(period_cap_amount) over month_pieces as period_cap_amount,
        last_value(annual_cap_amount) over month_pieces as annual_cap_amount,
        cast(
            date_trunc('month', service_commencement_date)
            + to_years(cast(
                date_diff('month', date_trunc('month', service_commencement_date), service_month) // 12 as integer
            )) as date
        ) as contract_year_from_date,
        to_date,
        main.exact_product(
            greatest(0, committed_gpu_hours - case
                when month_agreed_gpu_hours >= greatest(month_of_committed_gpu_hours, month_of_installed_gpu_hours) then agreed_gpu_hours
                when month_of_committed_gpu_hours >= month_of_installed_gpu_hours then of_committed_gpu_hours
                else of_installed_gpu_hours
            end),
            price_per_gpu_hour
        ) as amount
    from piece_deductibles
    window month_pieces as (
        partition by contract_id, as_of_month, service_month
        order by to_date, from_date, tranche_id rows between unbounded preceding and unbounded following
    )
)

-- Under one cap together: the days of one period, earliest first. The cap is the one in force on the period's last day.
select
    contract_id,
    as_of_month,
    vendor_fiscal_year,
    case period_cap_period
        when 'quarter' then cast(date_trunc('quarter', service_month) as date)
        when 'year' then contract_year_from_date
        else service_month
    end as period_from_date,
    sum(amount) as amount,
    contract_year_from_date,
    arg_max_null(period_cap_amount, to_date) as cap_amount,
    arg_max_null(annual_cap_amount, to_date) as annual_cap_amount,
    max(to_date) as last_date
from piece_amounts
group by contract_id, as_of_month, vendor_fiscal_year, contract_year_from_date, period_from_date
