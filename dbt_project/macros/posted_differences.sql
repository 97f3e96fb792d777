{#
    What each close posts: what should stand, less what has been posted. A close posts until what should stand stands, so the one before it
    left exactly that; where that one is sealed, it left what its lines say. Lines that a month kept from before it was reopened count as
    posted in it. A sealed close posts nothing: its lines are there.

    points         relation of the points that post: contract_id, point_no, posting_month, month_end_date, known_at, is_provisional, is_sealed,
                   reopening_no; each that is asked about, and the one before it
    stands         relation of what should stand: contract_id, point_no, the keys, amount
    kept           relation of what sealed lines hold: contract_id, point_no of their month, the keys, amount
    keys           columns that name what stands, beside contract and point
    Gives contract_id, the keys, the point's columns and the amount to post, also where it is zero.
#}
{% macro posted_differences(points, stands, kept, keys) %}
with named as (
    select contract_id, point_no, {{ keys | join(', ') }} from {{ stands }}
    union all
    select contract_id, point_no, {{ keys | join(', ') }} from {{ kept }}
),

grid as (
    select
        {% for key in keys %}first_named.{{ key }}, {% endfor %}
        points.contract_id,
        points.point_no,
        points.posting_month,
        points.month_end_date,
        points.known_at,
        points.is_provisional,
        coalesce(points.is_sealed, false) as is_sealed,
        coalesce(points.reopening_no, 0) as reopening_no
    from (
        select contract_id, {{ keys | join(', ') }}, min(point_no) as first_point_no
        from named
        group by contract_id, {{ keys | join(', ') }}
    ) as first_named
    inner join {{ points }} as points on first_named.contract_id = points.contract_id and first_named.first_point_no <= points.point_no
),

balances as (
    select
        grid.*,
        stands.* exclude (contract_id, point_no, amount, {{ keys | join(', ') }}),
        coalesce(stands.amount, 0) as standing_amount,
        coalesce(kept.amount, 0) as kept_amount
    from grid
    left join {{ stands }} as stands
        on
            grid.contract_id = stands.contract_id
            and grid.point_no = stands.point_no
            {%- for key in keys %}
            and grid.{{ key }} = stands.{{ key }}
            {%- endfor %}
    left join {{ kept }} as kept
        on
            grid.contract_id = kept.contract_id
            and grid.point_no = kept.point_no
            {%- for key in keys %}
            and grid.{{ key }} = kept.{{ key }}
            {%- endfor %}
)

select
    *,
    case
        when is_sealed then 0
        when coalesce(lag(is_sealed) over stand_order, true)
            then standing_amount - sum(kept_amount) over (stand_order rows between unbounded preceding and current row)
        else standing_amount - lag(standing_amount) over stand_order - kept_amount
    end as amount
from balances
window stand_order as (partition by contract_id, {{ keys | join(', ') }} order by point_no)
{% endmacro %}
