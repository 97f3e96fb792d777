{# No key column is null and no key comes twice. Columns may be expressions. #}
{% test primary_key(model, columns) %}
select {{ columns | join(', ') }}
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1 {% for column in columns %} or {{ column }} is null{% endfor %}
{% endtest %}

{#
    The sums of a column, by keys, are a column of another model, row by row: both sides are compared, also where one has no row.
    Unrounded amounts may differ by their last digits (tolerance, in units of the column).
#}
{% test foots_to(model, column, by, to, to_column, where='true', to_by=none, tolerance=0.000000001) %}
with parts as (
    select {{ by | join(', ') }}, sum({{ column }}) as amount
    from {{ model }}
    where {{ where }}
    group by {{ by | join(', ') }}
),

totals as (
    select
        {%- for key in (to_by or by) %}
        {{ key }} as {{ by[loop.index0] }},
        {%- endfor %}
        {{ to_column }} as amount
    from {{ to }}
)

select *
from parts
full join totals using ({{ by | join(', ') }})
where abs(coalesce(parts.amount, 0) - coalesce(totals.amount, 0)) > {{ tolerance }}
{% endtest %}

{# A column sums to zero within each group. #}
{% test sums_to_zero(model, column, by) %}
select {{ by | join(', ') }}, sum({{ column }}) as amount
from {{ model }}
group by {{ by | join(', ') }}
having sum({{ column }}) != 0
{% endtest %}
