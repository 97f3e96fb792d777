-- What each advance got back in each month, from the base or from the share, rounded once, as it is booked.
with recouped as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        unnest(recoupments) as recoupment
    from {{ ref('int_share_bases') }}
    union all by name
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        unnest(recoupments) as recoupment
    from {{ ref('int_share_month_states') }}
),

summed as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        struct_extract(recoupment, 'advance_id') as advance_id,
        -- An amendment within the month may move it from before the share to beside it: both stand here.
        string_agg(distinct struct_extract(recoupment, 'recoup_order'), ', ' order by struct_extract(recoupment, 'recoup_order')) as recoup_order,
        sum(struct_extract(recoupment, 'recouped_amount')) as unrounded_recouped_amount
    from recouped
    group by contract_id, point_no, share_id, service_month, struct_extract(recoupment, 'advance_id')
)

select
    summed.*,
    main.rounded_money(summed.unrounded_recouped_amount, contracts.minor_unit_digits) as recouped_amount
from summed
inner join {{ ref('stg_contract') }} as contracts on summed.contract_id = contracts.contract_id
where summed.unrounded_recouped_amount != 0
