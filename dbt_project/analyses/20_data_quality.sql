-- How complete is each feed: files, rows that count, rows in quarantine and the rules they broke?
with refused as (
    select
        park_id,
        feed,
        string_agg(distinct rule, ', ' order by rule) as broken_rules
    from quality.fct_quarantined_row
    group by park_id, feed
)

select
    files.park_id,
    files.feed,
    count(*) as file_count,
    sum(files.row_count) as row_count,
    sum(files.landed_count) as landed_count,
    sum(files.duplicate_count) as duplicate_count,
    sum(files.superseded_count) as superseded_count,
    sum(files.quarantined_count) as quarantined_count,
    max(files.received_at) as last_received_at,
    any_value(refused.broken_rules) as broken_rules
from quality.fct_landed_file as files
left join refused on files.park_id = refused.park_id and files.feed = refused.feed
group by files.park_id, files.feed
order by files.park_id, files.feed
