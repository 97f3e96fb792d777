-- What is invoiced was accrued: per contract and service month, at every close, the invoiced amount is either nothing or the accrued one.
{{ config(meta={'dagster': {'ref': {'name': 'fct_journal_lines'}}}) }}

with stands as (
    select
        contract_id,
        service_month,
        posting_month,
        sum(sum(amount) filter (where event in ('accrue_share', 'recoup_advance') and line_no % 2 = 1)) over month_order as accrued_amount,
        sum(sum(amount) filter (
            where event in ('invoice_share', 'invoice_true_up', 'invoice_reserve', 'credit_note') and line_no % 2 = 1
        )) over month_order as invoiced_amount
    from {{ ref('fct_journal_lines') }}
    group by contract_id, service_month, posting_month
    window month_order as (partition by contract_id, service_month order by posting_month)
)

select *
from stands
where
    -- Blocks of one share may be due on different days; a reserve is accrued long before it is invoiced.
    coalesce(invoiced_amount, 0) != 0
    and invoiced_amount != accrued_amount
    and contract_id not in (select terms.contract_id from {{ ref('stg_share_terms') }} as terms
    where terms.share_id != 'share' or terms.reserve_fraction > 0)
