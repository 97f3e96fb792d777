with line_texts as (
    select
        contract_id,
        posting_month,
        string_agg(
            concat_ws(
                '|', entry_id, line_no, account, event, amount, currency_code, service_month, epoch_us(posted_at),
                coalesce(corrects_entry_id, ''), coalesce(terms_version, '')
            ),
            chr(10) order by entry_id, line_no
        ) as state_text
    from {{ ref('fct_journal_lines') }}
    group by contract_id, posting_month
)

select
    closes.contract_id,
    closes.posting_month,
    closes.known_at as closed_at,
    closes.closed_by,
    md5(coalesce(line_texts.state_text, '')) as state_hash
from {{ ref('int_closes') }} as closes
left join line_texts
    on closes.contract_id = line_texts.contract_id and closes.posting_month = line_texts.posting_month
where not closes.is_provisional
