-- What the statements as known at an instant, and what they say otherwise than before, follow from: the history of the points that know it.
select
    points.contract_id,
    points.known_at,
    md5(string_agg(histories.history_fingerprint, '|' order by points.point_no)) as statement_fingerprint
from {{ ref('int_knowledge_points') }} as points
inner join {{ ref('int_point_fingerprints') }} as histories
    on points.contract_id = histories.contract_id and points.point_no = histories.point_no
group by points.contract_id, points.known_at
