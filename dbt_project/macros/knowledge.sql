{#
    What was known when. A feed keeps every row it ever got. Each row counts from its recorded_at until the next row of its natural key, in the
    order (recorded_at, version, content_hash); a copy of the row before it changes nothing. Rows recorded after the home's clock are not seen.
    A row that claims to have been recorded before a month that has been sealed without it is seen from after that close.

    rows_known             the rows recorded up to the clock, with the instant from which each may be seen; without those of partitions that are
                           held back, where `day` (the partition's day, an SQL expression over `feed` and `held`) is given
    knowledge_interval     columns known_from_at, known_until_at (null: until further notice), is_current
    known_at(alias, k)     condition that picks the versions which a close at instant k sees
    known_together(a, b)   condition that two versions are known at one instant or more: from the later to the earlier end of the two. A row that
                           was delivered twice is known for no time at all, but for its last copy
#}
{% macro rows_known(relation, day=none) -%}
select
        feed.*,
        greatest(feed.recorded_at, late.known_not_before_at) as visible_from_at
    from {{ relation }} as feed
    left join {{ ref('stg_late_file') }} as late on feed.park_id = late.park_id and feed.file_id = late.file_id
    {%- if day %}
    anti join {{ ref('stg_held_file') }} as held
        on
            held.feed = '{{ relation.identifier }}'
            and feed.park_id = held.park_id
            and feed.file_id = held.file_id
            and held.service_date = {{ day }}
    {%- endif %}
    where feed.recorded_at <= (select home.clock_at from {{ source('raw', 'home') }} as home)
{%- endmacro %}

{% macro knowledge_interval(natural_key, version_column=none) %}
{%- set last_comes -%}
partition by {{ natural_key }} order by recorded_at{{ ', ' ~ version_column if version_column }}, content_hash, file_id, line_no
{%- endset -%}
recorded_at,
    visible_from_at as known_from_at,
    -- What is recorded later takes the place of what was recorded before, also where the earlier row arrives last.
    min(visible_from_at) over ({{ last_comes }} rows between 1 following and unbounded following) as known_until_at,
    lead(recorded_at) over ({{ last_comes }}) is null as is_current,
    content_hash
{%- endmacro %}

{% macro known_at(alias, k) -%}
({{ alias }}.known_from_at <= {{ k }} and ({{ alias }}.known_until_at is null or {{ alias }}.known_until_at > {{ k }}))
{%- endmacro %}

{% macro known_together(a, b) -%}
({{ a }}.known_until_at is null or greatest({{ a }}.known_from_at, {{ b }}.known_from_at) < {{ a }}.known_until_at)
            and ({{ b }}.known_until_at is null or greatest({{ a }}.known_from_at, {{ b }}.known_from_at) < {{ b }}.known_until_at)
{%- endmacro %}
