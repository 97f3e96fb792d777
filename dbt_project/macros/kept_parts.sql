{#
    Tables that are kept in parts, and rebuilt only where what a part follows from has changed.

    A model of fingerprints (`source`) holds, for each part (`keys`), a fingerprint of all that the part's rows follow from. A model so kept reads only
    the parts whose fingerprint is other than when it was last built (parts_to_build), and replaces exactly these, in one transaction: its strategy
    deletes every part that does not stand as it should, inserts what was built (replace_parts), and keep_parts, its post-hook, notes with what it
    stands now. A run that is broken off leaves rows and notes as they were; run again, nothing is left to do. A full refresh builds all parts by the
    same text.

    of                   the column of fingerprints, without `_fingerprint`
    standing_parts       where a model's notes are kept
#}
{% macro parts_to_build(alias, of, source, keys) -%}
-- depends_on: {{ ref(source) }}
    semi join (
        select
            {%- for key in keys %}
            parts.{{ key }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ ref(source) }} as parts
        {%- if is_incremental() %}
        anti join {{ standing_parts(this) }} as standing
            on
                {%- for key in keys %}
                parts.{{ key }} = standing.{{ key }} and
                {%- endfor %}
                parts.{{ of }}_fingerprint = standing.fingerprint
        {%- endif %}
    ) as parts_to_build
        on
            {%- for key in keys %}
            {{ alias }}.{{ key }} = parts_to_build.{{ key }}{{ ' and' if not loop.last }}
            {%- endfor %}
{%- endmacro %}

{% macro standing_parts(model) -%}intermediate.standing__{{ model.identifier }}{%- endmacro %}

{% macro create_standing_parts() %}
create schema if not exists intermediate;
{% for name in kept_by_park_day() -%}
create table if not exists intermediate.standing__{{ name }} (park_id varchar, service_date date, fingerprint varchar);
{% endfor %}
{%- for name in kept_by_park_month() -%}
create table if not exists intermediate.standing__{{ name }} (park_id varchar, service_month date, fingerprint varchar);
{% endfor %}
{%- for name in kept_by_point() -%}
create table if not exists intermediate.standing__{{ name }} (contract_id varchar, point_no integer, fingerprint varchar);
{% endfor %}
{%- for name in kept_by_known_at() -%}
create table if not exists intermediate.standing__{{ name }} (contract_id varchar, known_at timestamptz, fingerprint varchar);
{% endfor %}
{%- for name in kept_by_month() -%}
create table if not exists intermediate.standing__{{ name }} (contract_id varchar, service_month date, fingerprint varchar);
{% endfor %}
{%- for name in kept_by_as_of_month() -%}
create table if not exists intermediate.standing__{{ name }} (contract_id varchar, as_of_month date, fingerprint varchar);
{% endfor %}
{% endmacro %}

{% macro keep_parts(of, source, keys) %}
create or replace table {{ standing_parts(this) }} as
select
    {{ keys | join(', ') }},
    {{ of }}_fingerprint as fingerprint
from {{ ref(source) }}
{% endmacro %}

{% macro replace_parts(arg_dict, of, source, keys) %}
{%- set target, columns = arg_dict.target_relation, arg_dict.dest_columns | map(attribute='quoted') | join(', ') -%}
delete from {{ target }} as kept where not exists (
    select 1
    from {{ standing_parts(target) }} as standing
    inner join {{ ref(source) }} as parts
        on {% for key in keys %}standing.{{ key }} = parts.{{ key }} and {% endfor %}standing.fingerprint = parts.{{ of }}_fingerprint
    where {% for key in keys %}standing.{{ key }} = kept.{{ key }}{{ ' and ' if not loop.last }}{% endfor %}
);
insert into {{ target }} ({{ columns }}) select {{ columns }} from {{ arg_dict.temp_relation }};
{% endmacro %}

{# A number for a fact; a part's numbers are added up, so that their order does not matter. Also where a value is null. #}
{% macro fact_number(columns) -%}
cast(hash({{ columns | join(', ') }}) as hugeint)
{%- endmacro %}

{# The text of models and of the macros that they count with: who changes it has all parts built anew. #}
{% macro code_of(models, macro_texts) -%}
{%- if execute -%}
{%- set texts = macro_texts -%}
{%- for name in models -%}{%- do texts.append(graph.nodes['model.parkledger.' ~ name].raw_code) -%}{%- endfor -%}
{{ local_md5(texts | join('|')) }}
{%- endif -%}
{%- endmacro %}
