-- At each close in order: what should stand, less what has been posted. The close before left exactly what stood then.
with points as (
    select
        contract_id,
        point_no,
        posting_month,
        month_end_date,
        known_at,
        is_provisional
    from {{ ref('int_knowledge_points') }}
    where is_posted
),

grid as (
    select
        stood.contract_id,
        stood.service_month,
        stood.event,
        stood.currency_code,
        points.point_no,
        points.posting_month,
        points.month_end_date,
        points.known_at,
        points.is_provisional
    from (
        select
            contract_id,
            service_month,
            event,
            currency_code,
            min(point_no) as first_point_no
        from {{ ref('int_journal_stands') }}
        group by contract_id, service_month, event, currency_code
    ) as stood
    inner join points on stood.contract_id = points.contract_id and stood.first_point_no <= points.point_no
),

differences as (
    select
        grid.*,
        stands.amendment_id,
        coalesce(stands.amount, 0) as standing_amount,
        coalesce(stands.amount, 0) - coalesce(lag(stands.amount) over stand_order, 0) as amount
    from grid
    left join {{ ref('int_journal_stands') }} as stands
        on
            grid.contract_id = stands.contract_id
            and grid.point_no = stands.point_no
            and grid.service_month = stands.service_month
            and grid.event = stands.event
            and grid.currency_code = stands.currency_code
    window stand_order as (
        partition by grid.contract_id, grid.service_month, grid.event, grid.currency_code order by grid.point_no
    )
),

named as (
    select
        *,
        case when event = 'invoice_share' and amount < 0 then 'credit_note' else event end as posted_event
    from differences
    where amount != 0
),

entries as (
    select
        *,
        concat_ws(':', contract_id, strftime(service_month, '%Y-%m'), posted_event, strftime(posting_month, '%Y-%m')) as entry_id
    from named
)

select
    entry_id,
    contract_id,
    service_month,
    event as event_family,
    posted_event as event,
    currency_code,
    point_no,
    posting_month,
    month_end_date,
    known_at as posted_at,
    is_provisional,
    cast(amount as decimal(18, 2)) as amount,
    amendment_id as terms_version,
    nullif(
        first_value(entry_id) over (partition by contract_id, service_month, event order by point_no, currency_code), entry_id
    ) as corrects_entry_id,
    cast(dense_rank() over (partition by entry_id order by currency_code) as integer) as currency_no
from entries
