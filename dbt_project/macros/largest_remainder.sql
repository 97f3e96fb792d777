{#
    Parts of a rounded total in proportion to weights, in whole minor units, by largest remainder.

    relation       a relation with the columns named below, one row per part
    group_columns  the columns that name one total
    total          column: the total, rounded to `digits` decimals, repeated on each row of its group
    weight         column: DECIMAL(38, 18), any sign, not all zero together in a group
    digits         column: ISO 4217 minor unit
    tie            column: breaks ties in ascending order

    Gives all columns of the relation and part_amount, DECIMAL(18, 2). Each part is the floor of its exact quota, and one more unit where its
    remainder is among the largest; parts add up to the total.
#}
{% macro largest_remainder(relation, group_columns, total, weight, digits, tie) -%}
select
        * exclude (group_weight, minor_units_per_unit, minor_unit_amount, quota_units, floor_units, missing_units, remainder_rank),
        cast((floor_units + case when remainder_rank <= missing_units then 1 else 0 end) * minor_unit_amount as decimal(18, 2)) as part_amount
    from (
        select
            *,
            cast({{ total }} * minor_units_per_unit as hugeint) - sum(floor_units) over (partition by {{ group_columns }}) as missing_units,
            row_number() over (partition by {{ group_columns }} order by quota_units - floor_units desc, {{ tie }}) as remainder_rank
        from (
            select
                *,
                floor(quota_units) as floor_units
            from (
                select
                    *,
                    main.exact_ratio({{ total }} * minor_units_per_unit, {{ weight }}, group_weight) as quota_units
                from (
                    select
                        *,
                        sum({{ weight }}) over (partition by {{ group_columns }}) as group_weight,
                        case {{ digits }} when 0 then 1 when 1 then 10 else 100 end as minor_units_per_unit,
                        case {{ digits }} when 0 then 1.00 when 1 then 0.10 else 0.01 end as minor_unit_amount
                    from {{ relation }}
                ) as weighted
            ) as quotas
        ) as floors
    ) as ranked
{%- endmacro %}
