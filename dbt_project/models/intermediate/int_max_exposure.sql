-- What may still be claimed after each ended month, on the terms, events and delivery schedule known at the month's end: committed less
-- deductible hours of every day to come, at the buy-back price, earliest days first under their period's cap.
with clock_points as (
    select *
    from {{ ref('int_knowledge_points') }}
    where is_clock
),

as_of_months as (
    select
        closes.contract_id,
        closes.park_id,
        closes.time_zone,
        closes.posting_month as as_of_month,
        closes.month_end_date,
        closes.ended_at
    from {{ ref('int_closes') }} as closes
),

-- Terms known at the month's end.
known_versions as (
    select
        as_of_months.*,
        versions.amendment_id,
        versions.valid_from
    from as_of_months
    inner join {{ ref('stg_contract_version') }} as versions
        on as_of_months.contract_id = versions.contract_id and as_of_months.ended_at >= versions.recorded_at
    where versions.instrument = 'backstop'
    qualify row_number() over (
        partition by as_of_months.contract_id, as_of_months.as_of_month, versions.valid_from
        order by versions.recorded_at desc, versions.amendment_id desc
    ) = 1
),

endings as (
    select
        as_of_months.contract_id,
        as_of_months.as_of_month,
        min(cast(timezone(as_of_months.time_zone, events.effective_at) as date)) filter (where events.kind = 'insolvency')
            as insolvency_date,
        min(cast(timezone(as_of_months.time_zone, events.effective_at) as date)) filter (where events.kind = 'termination')
            as termination_date
    from as_of_months
    inner join {{ ref('stg_credit_events') }} as events
        on
            (as_of_months.contract_id = events.contract_id or (events.contract_id is null and as_of_months.park_id = events.park_id))
            and {{ known_at('events', 'as_of_months.ended_at') }}
    where events.kind in ('insolvency', 'termination')
    group by as_of_months.contract_id, as_of_months.as_of_month
),

future_versions as (
    select
        known_versions.*,
        contracts.service_commencement_date,
        contracts.minor_unit_digits,
        backstop_terms.* exclude (contract_id, amendment_id, valid_from, recorded_at, expiry_date),
        greatest(known_versions.valid_from, known_versions.month_end_date + 1, contracts.service_commencement_date) as from_date,
        least(
            lead(known_versions.valid_from) over (
                partition by known_versions.contract_id, known_versions.as_of_month order by known_versions.valid_from
            ) - 1,
            contracts.expiry_date,
            backstop_terms.expiry_date,
            endings.termination_date - 1,
            case when backstop_terms.survives_operator_insolvency then null else endings.insolvency_date - 1 end
        ) as to_date
    from known_versions
    inner join {{ ref('stg_contract') }} as contracts on known_versions.contract_id = contracts.contract_id
    left join {{ ref('stg_backstop_terms') }} as backstop_terms
        on known_versions.contract_id = backstop_terms.contract_id and known_versions.amendment_id = backstop_terms.amendment_id
    left join endings
        on known_versions.contract_id = endings.contract_id and known_versions.as_of_month = endings.as_of_month
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
withdrawal_events as (
    select
        pieces.contract_id,
        pieces.as_of_month,
        pieces.tranche_id,
        pieces.amendment_id,
        pieces.from_date,
        pieces.to_date,
        pieces.time_zone,
        pieces.gpu_count as tranche_gpu_count,
        events.event_id,
        events.kind,
        events.gpu_count,
        {{ withdrawal_acts_at('events', 'pieces') }} as acts_at_local,
        {{ first_day_from('acts_at_local') }} as acts_date
    from pieces
    inner join {{ ref('stg_credit_events') }} as events
        on
            pieces.park_id = events.park_id
            and (pieces.tranche_id = events.tranche_id or (events.tranche_id is null and pieces.contract_id = events.contract_id))
            and {{ known_at('events', 'pieces.ended_at') }}
    where {{ is_withdrawal_or_recall('events', 'pieces') }}
),

withdrawal_days as (
    select
        contract_id,
        as_of_month,
        tranche_id,
        amendment_id,
        from_date,
        time_zone,
        tranche_gpu_count,
        cast(unnest(generate_series(from_date, to_date, interval 1 day)) as date) as service_date,
        list(
            struct_pack(is_recall := kind = 'recall', gpu_count := gpu_count, acts_date := acts_date)
            order by acts_at_local, event_id
        ) as steps
    from withdrawal_events
    group by contract_id, as_of_month, tranche_id, amendment_id, from_date, to_date, time_zone, tranche_gpu_count
),

withdrawn as (
    select
        contract_id,
        as_of_month,
        tranche_id,
        amendment_id,
        from_date,
        sum(
            cast(main.withdrawn_gpu_count(steps, tranche_gpu_count, service_date) as hugeint) * (
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
),

-- Under one cap together: the days of one period, earliest first. The cap is the one in force on the period's last day.
period_amounts as (
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
    from future_versions
    inner join {{ ref('stg_backstop_termination') }} as terminations
        on future_versions.contract_id = terminations.contract_id and future_versions.amendment_id = terminations.amendment_id
    where terminations.payer = 'vendor' and terminations.termination_amount is not null and future_versions.from_date <= future_versions.to_date
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
)

select
    contract_id,
    as_of_month,
    vendor_fiscal_year,
    cast(least(running_amount, cap_left_amount) - least(running_amount - amount, cap_left_amount) as decimal(38, 18)) as max_exposure_amount
from runs
