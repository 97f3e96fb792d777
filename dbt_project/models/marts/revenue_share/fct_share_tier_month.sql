-- Tiers of several blocks are numbered one block after the other, so that tier_no names one rate table row of the contract.
-- Where tiers follow the share paid so far, the months have laid the base over them.
with month_tiers as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        tier_no,
        rate,
        slice_amount,
        share_amount
    from {{ ref('int_share_tiers') }}
    where not is_true_up and not is_cut_by_share_paid
    union all by name
    select
        cuts.* exclude (cut),
        struct_extract(cuts.cut, 'tier_no') as tier_no,
        struct_extract(cuts.cut, 'rate') as rate,
        struct_extract(cuts.cut, 'slice_amount') as slice_amount,
        struct_extract(cuts.cut, 'share_amount') as share_amount
    from (
        select
            contract_id,
            point_no,
            share_id,
            service_month,
            unnest(paid_cuts) as cut
        from {{ ref('int_share_month_states') }}
    ) as cuts
),

clock_tiers as (
    select
        month_tiers.*,
        contracts.currency_code
    from month_tiers
    inner join {{ ref('int_known_months') }} as months
        on
            month_tiers.contract_id = months.contract_id
            and month_tiers.point_no = months.state_point_no
            and month_tiers.service_month = months.service_month
    inner join {{ ref('stg_contract') }} as contracts on month_tiers.contract_id = contracts.contract_id
    where months.is_clock
),

block_sizes as (
    select
        contract_id,
        share_id,
        max(tier_no) as largest_tier_no
    from {{ ref('stg_share_tier') }}
    group by contract_id, share_id
),

block_offsets as (
    select
        contract_id,
        share_id,
        coalesce(
            sum(largest_tier_no) over (
                partition by contract_id order by share_id rows between unbounded preceding and 1 preceding
            ), 0
        ) as tier_offset
    from block_sizes
)

select
    clock_tiers.contract_id,
    clock_tiers.service_month,
    cast(block_offsets.tier_offset + clock_tiers.tier_no as integer) as tier_no,
    clock_tiers.share_id,
    cast(clock_tiers.tier_no as integer) as block_tier_no,
    main.settled(sum(clock_tiers.slice_amount)) as base_amount,
    -- An amendment in the month may give one tier two rates: then their mean, weighted by base.
    case
        when min(clock_tiers.rate) = max(clock_tiers.rate) then min(clock_tiers.rate)
        when sum(clock_tiers.slice_amount) = 0 then null
        else cast(main.exact_ratio(sum(clock_tiers.share_amount), 1, sum(clock_tiers.slice_amount)) as decimal(18, 9))
    end as rate,
    main.settled(sum(clock_tiers.share_amount)) as share_amount,
    any_value(clock_tiers.currency_code) as currency_code
from clock_tiers
inner join block_offsets on clock_tiers.contract_id = block_offsets.contract_id and clock_tiers.share_id = block_offsets.share_id
group by clock_tiers.contract_id, clock_tiers.service_month, block_offsets.tier_offset, clock_tiers.tier_no, clock_tiers.share_id
