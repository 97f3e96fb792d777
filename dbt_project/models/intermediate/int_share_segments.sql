{{ config(
    materialized='incremental',
    incremental_strategy='known_points',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_points() }}"
) }}

-- Whole days of one service month under the same terms, per block of the share, as known at each point that knows otherwise of the month than the one
-- before.
with versions as (
    select
        terms.* exclude (contract_end_date),
        -- A version that ends the share has no terms: the share then ends with the version before.
        max(terms.to_date) over (partition by terms.contract_id, terms.point_no) as contract_end_date,
        min(terms.from_date) over (partition by terms.contract_id, terms.point_no, terms.amendment_id) as version_from_date
    from {{ ref('int_terms_in_force') }} as terms
    {{ points_to_build('terms') }}
    where
        terms.instrument = 'revenue_share'
        and (terms.contract_id, terms.amendment_id) in (
            select (share_terms.contract_id, share_terms.amendment_id)
            from {{ ref('stg_share_terms') }} as share_terms
        )
),

months as (
    select
        terms.*,
        cast(unnest(generate_series(
            date_trunc('month', terms.from_date), least(terms.posting_month, date_trunc('month', terms.to_date)), interval 1 month
        )) as date) as service_month
    from versions as terms
),

segments as (
    select
        months.* exclude (from_date, to_date),
        greatest(months.from_date, months.service_month) as from_date,
        least(months.to_date, last_day(months.service_month)) as to_date,
        day(last_day(months.service_month)) as days_in_month,
        date_diff('month', date_trunc('month', months.service_commencement_date), months.service_month) + 1 as contract_month
    from months
),

blocks as (
    select
        segments.contract_id,
        segments.point_no,
        segments.service_month,
        segments.from_date,
        segments.amendment_id,
        share_terms.share_id,
        cast(row_number() over block_order as integer) as sequence_no,
        lag(segments.service_month) over block_order as previous_month
    from segments
    inner join {{ ref('stg_share_terms') }} as share_terms
        on segments.contract_id = share_terms.contract_id and segments.amendment_id = share_terms.amendment_id
    window block_order as (partition by segments.contract_id, segments.point_no, share_terms.share_id order by segments.from_date)
),

-- Of the months that the point knows as the one before did, nothing is said again; the first of the others follows from where the last of those
-- stands.
changed_blocks as (
    select
        blocks.* exclude (from_date, amendment_id),
        cast(row_number() over (
            partition by blocks.contract_id, blocks.point_no, blocks.share_id, blocks.service_month order by blocks.from_date
        ) as integer) as segment_no,
        segments.* exclude (contract_id, point_no, service_month),
        previous.state_point_no as previous_point_no,
        segments.to_date - segments.from_date + 1 as days_in_force
    from blocks
    inner join {{ ref('int_known_months') }} as months
        on
            blocks.contract_id = months.contract_id
            and blocks.point_no = months.point_no
            and blocks.service_month = months.service_month
            and blocks.point_no = months.state_point_no
    inner join segments
        on
            blocks.contract_id = segments.contract_id
            and blocks.point_no = segments.point_no
            and blocks.service_month = segments.service_month
            and blocks.from_date = segments.from_date
    left join {{ ref('int_known_months') }} as previous
        on
            blocks.contract_id = previous.contract_id
            and blocks.point_no = previous.point_no
            and blocks.previous_month = previous.service_month
),

with_terms as (
    select
        changed_blocks.*,
        share_terms.* exclude (contract_id, share_id, amendment_id, valid_from, recorded_at, declining, late_rate),
        -- A natural breakpoint over tiers on the share paid hangs on the share, and so does what an advance takes of the base where an amendment
        -- turns it from the share to the base or back; with it all that follows from the base of such a block. int_share_month_states works it
        -- out, segment by segment.
        (changed_blocks.contract_id, changed_blocks.share_id) in (
            select (terms.contract_id, terms.share_id)
            from {{ ref('stg_share_terms') }} as terms
            inner join {{ ref('stg_share_tier') }} as paid_tiers
                on
                    terms.contract_id = paid_tiers.contract_id
                    and terms.share_id = paid_tiers.share_id
                    and terms.amendment_id = paid_tiers.amendment_id
            where
                paid_tiers.axis = 'cumulative_share_paid'
                and terms.share_basis = 'pct_above_breakpoint'
                and terms.breakpoint_amount is null
                and terms.minimum_period = 'month'
            union all
            select (turned.contract_id, turned.share_id)
            from {{ ref('stg_token_advance') }} as turned
            group by turned.contract_id, turned.share_id, turned.advance_id
            having count(distinct turned.recoup_order = 'from_share') > 1
        ) as base_follows_share
    from changed_blocks
    inner join {{ ref('stg_share_terms') }} as share_terms
        on
            changed_blocks.contract_id = share_terms.contract_id
            and changed_blocks.share_id = share_terms.share_id
            and changed_blocks.amendment_id = share_terms.amendment_id
)

select
    blocks.*,
    contracts.currency_code,
    contracts.minor_unit_digits,
    blocks.base_follows_share
    and blocks.share_basis = 'pct_above_breakpoint'
    and blocks.breakpoint_amount is null
    and coalesce(blocks.minimum_period = 'month', false)
    and (blocks.contract_id, blocks.share_id, blocks.amendment_id) in (
        select (moving_tiers.contract_id, moving_tiers.share_id, moving_tiers.amendment_id)
        from {{ ref('stg_share_tier') }} as moving_tiers
        where moving_tiers.axis in ('cumulative_share_paid', 'cumulative_base')
    ) as has_breakpoint_of_share_paid,
    timezone(blocks.time_zone, cast(blocks.from_date as timestamp)) as from_at,
    timezone(blocks.time_zone, cast(blocks.to_date + 1 as timestamp)) as to_at,
    -- One statement, and one invoice date, for all months of an accrual period; each month is accrued by itself.
    least(
        case blocks.accrual_period
            when 'quarter' then last_day(cast(date_trunc('quarter', blocks.service_month) + interval 2 month as date))
            when 'year' then last_day(cast({{ share_year_from('blocks') }} + interval 11 month as date))
            else last_day(blocks.service_month)
        end,
        last_day(blocks.contract_end_date)
    ) + blocks.statement_due_days as contractual_invoice_date
from with_terms as blocks
inner join {{ ref('stg_contract') }} as contracts on blocks.contract_id = contracts.contract_id
