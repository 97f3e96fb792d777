{{ config(
    materialized='incremental',
    incremental_strategy='known_points',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_points() }}"
) }}

-- Whole days of one service month of a tranche under the same backstop terms, as known at each point that knows otherwise of the month than the one
-- before.
with points as (
    select points.*
    from {{ ref('int_knowledge_points') }} as points
    {{ points_to_build('points') }}
    where
        points.contract_id in (
            select indexed.contract_id
            from {{ ref('stg_backstop_price') }} as indexed
            where indexed.index_id is not null
        )
),

months as (
    select
        terms.contract_id,
        terms.point_no,
        terms.amendment_id,
        terms.from_date,
        terms.to_date,
        cast(unnest(generate_series(
            date_trunc('month', terms.from_date), least(terms.posting_month, date_trunc('month', terms.to_date)), interval 1 month
        )) as date) as service_month
    from {{ ref('int_terms_in_force') }} as terms
    {{ points_to_build('terms') }}
    where terms.instrument = 'backstop'
),

all_segments as (
    select
        months.contract_id,
        months.point_no,
        months.amendment_id,
        tranches.tranche_id,
        months.service_month,
        greatest(months.from_date, months.service_month, tranches.energised_date, effective_dates.effective_date) as from_date,
        least(months.to_date, last_day(months.service_month)) as to_date
    from months
    inner join {{ ref('stg_backstop_terms') }} as backstop_terms
        on months.contract_id = backstop_terms.contract_id and months.amendment_id = backstop_terms.amendment_id
    inner join {{ ref('stg_tranche') }} as tranches on months.contract_id = tranches.contract_id
    left join {{ ref('int_backstop_effective_dates') }} as effective_dates
        on
            months.contract_id = effective_dates.contract_id
            and months.point_no = effective_dates.point_no
            and tranches.tranche_id = effective_dates.tranche_id
            and backstop_terms.effective_event = effective_dates.effective_event
    -- Energised, or the condition come about, later than the longstop: no backstop at all. A contract that is in force has been signed.
    where
        tranches.energised_date is not null
        and (backstop_terms.effective_event in ('energised', 'signing') or effective_dates.effective_date is not null)
        and (
            backstop_terms.longstop_days is null
            or greatest(tranches.energised_date, effective_dates.effective_date)
            <= coalesce(tranches.planned_date, tranches.energised_date) + backstop_terms.longstop_days
        )
),

ordered_segments as (
    select
        *,
        max(service_month) over (
            partition by contract_id, point_no order by service_month range between unbounded preceding and interval 1 day preceding
        ) as previous_month
    from all_segments
    where from_date <= to_date
),

-- Of the months that the point knows as the one before did, nothing is said again; the first of the others follows from where the last of those
-- stands.
changed_segments as (
    select
        ordered_segments.*,
        previous.state_point_no as previous_point_no,
        cast(row_number() over (
            partition by ordered_segments.contract_id, ordered_segments.point_no, ordered_segments.tranche_id, ordered_segments.service_month
            order by ordered_segments.from_date
        ) as integer) as segment_no
    from ordered_segments
    inner join {{ ref('int_known_months') }} as months
        on
            ordered_segments.contract_id = months.contract_id
            and ordered_segments.point_no = months.point_no
            and ordered_segments.service_month = months.service_month
            and ordered_segments.point_no = months.state_point_no
    left join {{ ref('int_known_months') }} as previous
        on
            ordered_segments.contract_id = previous.contract_id
            and ordered_segments.point_no = previous.point_no
            and ordered_segments.previous_month = previous.service_month
),

segments as (
    select
        terms.* exclude (from_date, to_date),
        changed_segments.service_month,
        changed_segments.segment_no,
        tranches.tranche_id,
        tranches.gpu_count,
        tranches.energised_date,
        backstop_terms.* exclude (contract_id, amendment_id, valid_from, recorded_at, expiry_date),
        least(backstop_terms.expiry_date, terms.contract_expiry_date) as backstop_expiry_date,
        changed_segments.from_date,
        changed_segments.to_date,
        changed_segments.previous_month,
        changed_segments.previous_point_no,
        contracts.currency_code,
        contracts.minor_unit_digits,
        changed_segments.to_date - changed_segments.from_date + 1 as days_in_force,
        day(last_day(changed_segments.service_month)) as days_in_month,
        date_diff('month', date_trunc('month', terms.service_commencement_date), changed_segments.service_month) + 1 as contract_month,
        date_diff('month', date_trunc('month', tranches.energised_date), changed_segments.service_month) + 1 as tranche_month,
        timezone(terms.time_zone, cast(changed_segments.from_date as timestamp)) as from_at,
        timezone(terms.time_zone, cast(changed_segments.to_date + 1 as timestamp)) as to_at
    from changed_segments
    inner join {{ ref('int_terms_in_force') }} as terms
        on
            changed_segments.contract_id = terms.contract_id
            and changed_segments.point_no = terms.point_no
            and changed_segments.from_date between terms.from_date and terms.to_date
            and terms.instrument = 'backstop'
    inner join {{ ref('stg_backstop_terms') }} as backstop_terms
        on terms.contract_id = backstop_terms.contract_id and terms.amendment_id = backstop_terms.amendment_id
    inner join {{ ref('stg_tranche') }} as tranches on changed_segments.tranche_id = tranches.tranche_id
    inner join {{ ref('stg_contract') }} as contracts on changed_segments.contract_id = contracts.contract_id
),

price_index_levels as (
    {{ price_index_levels('points', 'point_no', 'points.known_at') }}
)

select
    segments.*,
    coalesce(ramps.fraction, 1) as ramp_fraction,
    main.indexed_price(
        prices.price_per_gpu_hour, levels.levels, segments.service_commencement_date, segments.service_month
    ) as buyback_price_per_gpu_hour
from segments
left join {{ ref('stg_backstop_ramp') }} as ramps
    on
        segments.contract_id = ramps.contract_id
        and segments.amendment_id = ramps.amendment_id
        and segments.tranche_month between ramps.from_month and ramps.to_month
left join {{ ref('stg_backstop_price') }} as prices
    on
        segments.contract_id = prices.contract_id
        and segments.amendment_id = prices.amendment_id
        and segments.contract_month between prices.from_month and coalesce(prices.to_month, segments.contract_month)
left join price_index_levels as levels
    on
        segments.contract_id = levels.contract_id
        and segments.point_no = levels.point_no
        and prices.index_id = levels.index_id
