{{ config(materialized='view') }}
-- The claim of each month as known at each point: what the last point says that knew otherwise of the month.
select
    months.contract_id,
    months.point_no,
    states.* exclude (contract_id, point_no)
from {{ ref('int_known_months') }} as months
inner join {{ ref('int_backstop_month_states') }} as states
    on
        months.contract_id = states.contract_id
        and months.state_point_no = states.point_no
        and months.service_month = states.service_month
