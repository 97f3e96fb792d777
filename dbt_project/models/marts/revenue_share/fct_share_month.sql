with blocks as (
    select months.*
    from {{ ref('int_share_month_states') }} as months
    inner join {{ ref('int_known_months') }} as known_months
        on
            months.contract_id = known_months.contract_id
            and months.point_no = known_months.state_point_no
            and months.service_month = known_months.service_month
    where known_months.is_clock
),

recoupments as (
    select
        contract_id,
        point_no,
        service_month,
        sum(recouped_amount) as recouped_amount
    from {{ ref('int_share_recoupments') }}
    group by contract_id, point_no, service_month
)

select
    blocks.contract_id,
    blocks.service_month,
    main.settled(sum(base_amount)) as base_amount,
    case
        when sum(base_amount) = 0 then null
        else cast(main.exact_ratio(sum(limited_share_amount), 1, sum(base_amount)) as decimal(18, 9))
    end as effective_rate,
    main.settled(sum(tier_share_amount)) as share_before_limits_amount,
    main.settled(sum(minimum_amount)) as minimum_amount,
    main.settled(sum(top_up_amount)) as minimum_top_up_amount,
    main.settled(sum(cap_reduction_amount)) as cap_reduction_amount,
    -- Of several blocks the mean, by the size of what each would have earned or given back; 0 or 1 where there is one.
    case
        when bool_and(is_active) then 1
        when not bool_or(is_active) or sum(abs(tier_share_amount)) = 0 then 0
        else cast(main.exact_ratio(sum(abs(tier_share_amount)) filter (where is_active), 1, sum(abs(tier_share_amount))) as decimal(9, 6))
    end::decimal(9, 6) as activation_fraction,
    main.settled(sum(earned_amount)) as activated_share_amount,
    main.settled(sum(credited_amount)) as minimum_credited_amount,
    main.settled(sum(true_up_amount)) as true_up_amount,
    main.settled(sum(true_up_offset_amount)) as true_up_offset_amount,
    main.settled(sum(true_up_carried_amount)) as true_up_carried_amount,
    main.settled(sum(limited_share_amount)) as share_after_limits_amount,
    cast(coalesce(any_value(recoupments.recouped_amount), 0) as decimal(18, 2)) as recouped_amount,
    cast(sum(share_amount) as decimal(18, 2)) as share_amount,
    cast(sum(invoiced_amount) as decimal(18, 2)) as invoiced_amount,
    cast(
        sum(sum(accrued_share_amount)) over (partition by blocks.contract_id order by blocks.service_month) as decimal(18, 2)
    ) as cumulative_share_amount,
    any_value(currency_code) as currency_code,
    max(amendment_id) as terms_version,
    cast(count(*) as integer) as block_count
from blocks
left join recoupments
    on
        blocks.contract_id = recoupments.contract_id
        and blocks.point_no = recoupments.point_no
        and blocks.service_month = recoupments.service_month
group by blocks.contract_id, blocks.service_month
