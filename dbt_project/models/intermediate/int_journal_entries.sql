{{ config(
    materialized='incremental',
    incremental_strategy='known_points',
    follows='history',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_points('history') }}"
) }}

-- At each close in order: what should stand, less what has been posted.
with posted_points as (
    select *
    from {{ ref('int_knowledge_points') }}
    where is_posted
),

built_points as (
    select points.*
    from posted_points as points
    {{ points_to_build('points', 'history') }}
),

-- A difference is one to the close before.
points as (
    select points.*
    from posted_points as points
    semi join built_points
        on points.contract_id = built_points.contract_id and points.point_no between built_points.point_no - 1 and built_points.point_no
),

stands as (
    select stands.*
    from {{ ref('int_journal_stands') }} as stands
    semi join points on stands.contract_id = points.contract_id and stands.point_no = points.point_no
),

sealed_lines as (
    select
        lines.*,
        points.point_no,
        points.month_end_date,
        -- Both names of a family stand for one thing: what was invoiced, what was written off.
        case lines.event when 'credit_note' then 'invoice_share' when 'reinstatement' then 'write_off' else lines.event end as event_family
    from {{ source('raw', 'sealed_line') }} as lines
    inner join posted_points as points on lines.contract_id = points.contract_id and lines.posting_month = points.posting_month
    where lines.origin = 'contract' and lines.event != 'manual_journal' and lines.line_no % 2 = 1
),

-- Lines of closes before those that are looked at count as posted in the first of these.
kept as (
    select
        sealed_lines.contract_id,
        greatest(sealed_lines.point_no, first_points.point_no) as point_no,
        sealed_lines.service_month,
        sealed_lines.event_family as event,
        sealed_lines.currency_code,
        sum(sealed_lines.amount) as amount
    from sealed_lines
    inner join (
        select
            contract_id,
            min(point_no) as point_no
        from points
        group by contract_id
    ) as first_points
        on sealed_lines.contract_id = first_points.contract_id
    group by all
),

differences as (
    {{ posted_differences('points', 'stands', 'kept', ['service_month', 'event', 'currency_code']) | indent(4) }}
),

named as (
    select
        *,
        case
            when event = 'invoice_share' and amount < 0 then 'credit_note'
            when event = 'write_off' and amount < 0 then 'reinstatement'
            else event
        end as posted_event
    from differences
    semi join built_points on differences.contract_id = built_points.contract_id and differences.point_no = built_points.point_no
    where amount != 0
),

built_entries as (
    select
        concat_ws(
            ':', contract_id, strftime(service_month, '%Y-%m'), posted_event, strftime(posting_month, '%Y-%m'),
            -- A month that was reopened posts beside what it had posted before.
            case when reopening_no > 0 then reopening_no + 1 end
        ) as entry_id,
        contract_id,
        service_month,
        event as event_family,
        posted_event as event,
        currency_code,
        point_no,
        reopening_no,
        posting_month,
        month_end_date,
        known_at as posted_at,
        is_provisional,
        false as is_sealed,
        cast(amount as decimal(18, 2)) as amount,
        amendment_id as terms_version
    from named
    union all by name
    select
        entry_id,
        contract_id,
        service_month,
        event_family,
        event,
        currency_code,
        point_no,
        -1 as reopening_no,
        posting_month,
        month_end_date,
        posted_at,
        false as is_provisional,
        true as is_sealed,
        amount,
        terms_version
    from sealed_lines
    semi join built_points on sealed_lines.contract_id = built_points.contract_id and sealed_lines.point_no = built_points.point_no
),

-- With what the closes before have posted of the same months and families.
entries as (
    select * from built_entries
    {%- if is_incremental() %}
    union all by name
    select entries.* exclude (corrects_entry_id, currency_no)
    from {{ this }} as entries
    semi join built_entries
        on
            entries.contract_id = built_entries.contract_id
            and entries.service_month = built_entries.service_month
            and entries.event_family = built_entries.event_family
    anti join built_points on entries.contract_id = built_points.contract_id and entries.point_no >= built_points.point_no
    {%- endif %}
),

named_entries as (
    select
        *,
        nullif(
            first_value(entry_id) over (
                partition by contract_id, service_month, event_family order by posted_at, point_no, reopening_no, currency_code, entry_id
            ), entry_id
        ) as corrects_entry_id,
        cast(dense_rank() over (partition by entry_id order by currency_code) as integer) as currency_no
    from entries
)

select
    entry_id,
    contract_id,
    service_month,
    event_family,
    event,
    currency_code,
    point_no,
    reopening_no,
    posting_month,
    month_end_date,
    posted_at,
    is_provisional,
    is_sealed,
    amount,
    terms_version,
    corrects_entry_id,
    currency_no
from named_entries
semi join built_points on named_entries.contract_id = built_points.contract_id and named_entries.point_no = built_points.point_no
