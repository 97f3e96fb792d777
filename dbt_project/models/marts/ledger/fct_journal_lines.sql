-- Each event debits one account and credits another; a negative difference turns both signs.
with sides (side_no, side_sign) as (
    values (1, 1), (2, -1)
),

posted as (
    select
        entries.entry_id,
        cast((entries.currency_no - 1) * 2 + sides.side_no as integer) as line_no,
        entries.contract_id,
        case sides.side_no when 1 then accounts.debit_account else accounts.credit_account end as account,
        entries.event,
        cast(entries.amount * sides.side_sign as decimal(18, 2)) as amount,
        entries.currency_code,
        entries.service_month,
        entries.posting_month,
        entries.posted_at,
        entries.is_provisional,
        entries.corrects_entry_id,
        entries.terms_version
    from {{ ref('int_journal_entries') }} as entries
    inner join {{ ref('journal_events') }} as accounts on entries.event = accounts.event
    cross join sides
    where not entries.is_sealed
),

by_hand as (
    select
        entry_id,
        line_no,
        contract_id,
        account,
        'manual_journal' as event,
        amount,
        currency_code,
        service_month,
        posting_month,
        posted_at,
        is_provisional,
        corrects_entry_id,
        cast(null as varchar) as terms_version
    from {{ ref('int_manual_journal_entries') }}
),

-- What was sealed stands as it was kept.
sealed as (
    select
        lines.entry_id,
        lines.line_no,
        lines.contract_id,
        lines.account,
        lines.event,
        lines.amount,
        lines.currency_code,
        lines.service_month,
        lines.posting_month,
        lines.posted_at,
        false as is_provisional,
        lines.corrects_entry_id,
        lines.terms_version
    from {{ source('raw', 'sealed_line') }} as lines
    inner join {{ ref('stg_contract') }} as contracts on lines.contract_id = contracts.contract_id and contracts.is_booked
    where lines.origin = 'contract'
),

all_lines as (
    select * from posted
    union all by name
    select * from by_hand
    union all by name
    select * from sealed
)

select
    *,
    cast('{{ env_var("PARKLEDGER_RUN_ID", "adhoc") }}' as varchar) as run_id
from all_lines
