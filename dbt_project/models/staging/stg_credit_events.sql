-- A close is an act of the books: no faulty row of the operator's holds it back.
with known_rows as (
    {%- set day -%}
    case when feed.kind != 'period_close' then cast(timezone(held.time_zone, feed.effective_at) as date) end
    {%- endset %}
    {{ rows_known(source('raw', 'credit_events'), day) }}
)

select
    park_id,
    event_id,
    contract_id,
    tranche_id,
    kind,
    effective_at,
    ends_at,
    gpu_count,
    amount,
    currency_code,
    payload,
    {{ knowledge_interval('park_id, event_id') }}
from known_rows
