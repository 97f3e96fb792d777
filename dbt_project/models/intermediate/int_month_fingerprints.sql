-- What each month as known at the clock follows from: the fingerprint of the point where it stands.
select
    months.contract_id,
    months.service_month,
    md5(concat_ws('|', months.state_point_no, points.point_fingerprint)) as month_fingerprint
from {{ ref('int_known_months') }} as months
inner join {{ ref('int_point_fingerprints') }} as points
    on months.contract_id = points.contract_id and months.state_point_no = points.point_no
where months.is_clock
