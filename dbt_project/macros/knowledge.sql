{#
    What was known when. A feed keeps every row it ever got. Each row counts from its recorded_at until the next row of its natural key, in the
    order (recorded_at, version, content_hash); a copy of the row before it changes nothing. Rows recorded after the home's clock are not seen.

    rows_known             the rows recorded up to the clock
    knowledge_interval     columns known_from_at, known_until_at (null: until further notice), is_current
    known_at(alias, k)     condition that picks the versions which a close at instant k sees
#}
{% macro rows_known(relation) -%}
select feed.*
    from {{ relation }} as feed
    where feed.recorded_at <= (select home.clock_at from {{ source('raw', 'home') }} as home)
{%- endmacro %}

{% macro knowledge_interval(natural_key, version_column=none) %}
{%- set last_comes -%}
(partition by {{ natural_key }} order by recorded_at{{ ', ' ~ version_column if version_column }}, content_hash, file_id, line_no)
{%- endset -%}
recorded_at,
    recorded_at as known_from_at,
    lead(recorded_at) over {{ last_comes }} as known_until_at,
    lead(recorded_at) over {{ last_comes }} is null as is_current,
    content_hash
{%- endmacro %}

{% macro known_at(alias, k) -%}
({{ alias }}.known_from_at <= {{ k }} and ({{ alias }}.known_until_at is null or {{ alias }}.known_until_at > {{ k }}))
{%- endmacro %}
