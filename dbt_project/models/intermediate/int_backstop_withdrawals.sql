-- GPUs withdrawn by the operator on each day of a backstop segment, as known at each point; days without any have no row.
with segments as (
    select * from {{ ref('int_backstop_segments') }}
)

select *
from (
    {{ withdrawn_days('segments', ['contract_id', 'point_no', 'tranche_id', 'service_month', 'segment_no'], 'known_at') | indent(4) }}
) as days
