{#
    What was known when. A feed keeps every row it ever got; two steps make versions of it:

    first_of_each_content  of rows with the same natural key and the same content the earliest counts, the others are duplicates;
                           rows recorded after the home's clock are not seen at all
    knowledge_interval     each remaining row counts from its recorded_at until the next row of its key, in the order
                           (recorded_at, version, content_hash)

    known_at(k) is the condition that picks, of such versions, the one that a close at instant k sees.
#}
{% macro first_of_each_content(relation, natural_key) %}
select feed.*
    from {{ relation }} as feed
    where feed.recorded_at <= (select home.clock_at from {{ source('raw', 'home') }} as home)
    qualify row_number() over (
        partition by {{ natural_key }}, feed.content_hash
        order by feed.recorded_at, feed.file_id, feed.line_no
    ) = 1
{% endmacro %}

{% macro knowledge_interval(natural_key, version_column=none) %}
{%- set last_comes -%}
(partition by {{ natural_key }} order by recorded_at{{ ', ' ~ version_column if version_column }}, content_hash)
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
