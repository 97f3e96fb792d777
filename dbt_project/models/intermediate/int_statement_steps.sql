{{ config(
    materialized='incremental',
    incremental_strategy='known_points',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_points() }}"
) }}

-- Every step from what was billed, or from what stood unsold, to the amount due, of each month that a point of knowledge computes.
with known_advance_interest as (
    select facts.*
    from {{ ref('int_advance_interest') }} as facts
    {{ points_to_build('facts') }}
),

known_backstop_claims as (
    select facts.*
    from {{ ref('int_backstop_claims') }} as facts
    {{ points_to_build('facts') }}
),

known_backstop_claw_backs as (
    select facts.*
    from {{ ref('int_backstop_claw_backs') }} as facts
    {{ points_to_build('facts') }}
),

known_backstop_dues as (
    select facts.*
    from {{ ref('int_backstop_dues') }} as facts
    {{ points_to_build('facts') }}
),

known_backstop_month_states as (
    select facts.*
    from {{ ref('int_backstop_month_states') }} as facts
    {{ points_to_build('facts') }}
),

known_share_bases as (
    select facts.*
    from {{ ref('int_share_bases') }} as facts
    {{ points_to_build('facts') }}
),

known_share_month_states as (
    select facts.*
    from {{ ref('int_share_month_states') }} as facts
    {{ points_to_build('facts') }}
),

known_share_reserves as (
    select facts.*
    from {{ ref('int_share_reserves') }} as facts
    {{ points_to_build('facts') }}
),

known_share_revenue as (
    select facts.*
    from {{ ref('int_share_revenue') }} as facts
    {{ points_to_build('facts') }}
),

known_share_segments as (
    select facts.*
    from {{ ref('int_share_segments') }} as facts
    {{ points_to_build('facts') }}
),

known_share_tiers as (
    select facts.*
    from {{ ref('int_share_tiers') }} as facts
    {{ points_to_build('facts') }}
),

known_share_true_ups as (
    select facts.*
    from {{ ref('int_share_true_ups') }} as facts
    {{ points_to_build('facts') }}
),

revenue as (
    select
        contract_id,
        point_no,
        share_id as part_id,
        service_month,
        component,
        sum(measured_amount) as measured_amount,
        sum(excluded_amount) as excluded_amount
    from known_share_revenue
    group by contract_id, point_no, share_id, service_month, component
),

bases_by_segment as (
    select
        bases.contract_id,
        bases.point_no,
        bases.share_id as part_id,
        bases.service_month,
        segments.share_basis,
        bases.base_amount,
        bases.carried_in_amount - bases.carried_out_amount as carried_amount,
        -bases.recouped_before_share_amount as recouped_amount,
        bases.base_amount + bases.recouped_before_share_amount - bases.revenue_amount - bases.carried_in_amount as deduction_amount
    from known_share_bases as bases
    inner join known_share_segments as segments
        on
            bases.contract_id = segments.contract_id
            and bases.point_no = segments.point_no
            and bases.share_id = segments.share_id
            and bases.service_month = segments.service_month
            and bases.segment_no = segments.segment_no
    union all
    -- A breakpoint that hangs on the share paid is taken off where that is known, and so is what advances take of such a base.
    select
        contract_id,
        point_no,
        share_id as part_id,
        service_month,
        'pct_above_breakpoint' as share_basis,
        -breakpoint_of_share_paid_amount - recouped_of_following_base_amount as base_amount,
        0 as carried_amount,
        -recouped_of_following_base_amount as recouped_amount,
        -breakpoint_of_share_paid_amount as deduction_amount
    from known_share_month_states
    where breakpoint_of_share_paid_amount != 0 or recouped_of_following_base_amount != 0
),

bases as (
    select
        contract_id,
        point_no,
        part_id,
        service_month,
        share_basis,
        sum(base_amount) as base_amount,
        sum(carried_amount) as carried_amount,
        sum(recouped_amount) as recouped_amount,
        sum(deduction_amount) as deduction_amount
    from bases_by_segment
    group by contract_id, point_no, part_id, service_month, share_basis
),

cuts as (
    select
        contract_id,
        point_no,
        share_id,
        service_month,
        unnest(paid_cuts) as cut
    from known_share_month_states
),

tiers as (
    select
        contract_id,
        point_no,
        share_id as part_id,
        service_month,
        tier_no,
        rate,
        slice_amount,
        share_amount
    from known_share_tiers
    where not is_true_up and not is_cut_by_share_paid
    union all
    select
        contract_id,
        point_no,
        share_id as part_id,
        service_month,
        struct_extract(cut, 'tier_no') as tier_no,
        struct_extract(cut, 'rate') as rate,
        struct_extract(cut, 'slice_amount') as slice_amount,
        struct_extract(cut, 'share_amount') as share_amount
    from cuts
),

share_months as (
    select
        *,
        share_id as part_id
    from known_share_month_states
),

tranche_months as (
    select
        contract_id,
        point_no,
        tranche_id as part_id,
        service_month,
        {% for column in ['installed', 'committed', 'excluded', 'third_party', 'vendor_use', 'unsold', 'deductible', 'claim'] -%}
        sum({{ column }}_gpu_hours) as {{ column }}_gpu_hours,
        {% endfor -%}
        case when min(buyback_price_per_gpu_hour) = max(buyback_price_per_gpu_hour) then min(buyback_price_per_gpu_hour) end as price,
        sum(guaranteed_gpu_hours) as guaranteed_gpu_hours,
        sum(guaranteed_amount) as guaranteed_amount,
        sum(third_party_revenue_amount) as third_party_revenue_amount,
        sum(shortfall_amount) as shortfall_amount,
        bool_or(settlement_type in ('debt_service_shortfall', 'lease_payment')) as guarantees_payment,
        sum(claim_before_caps_amount) as claim_before_caps_amount
    from known_backstop_claims
    group by contract_id, point_no, tranche_id, service_month
),

-- What an operator had to pay and paid is its contract's, not a tranche's.
payments as (
    select distinct
        contract_id,
        point_no,
        service_month,
        settlement_type,
        payment_due_amount,
        payment_made_amount
    from known_backstop_claims
    where payment_due_amount is not null
)

select 'revenue_share' as statement, contract_id, point_no, service_month, part_id, 1 as section_no, -- noqa: disable=all
    case component when 'gross' then 1 else 2 end as place, component as step, null::decimal(28, 9) as gpu_hours,
    null::decimal(38, 12) as of_amount, null::decimal(18, 9) as rate, measured_amount as amount, 'base_measure' as term
from revenue where measured_amount != 0
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 1, 3, 'excluded_' || component, null, null, null, excluded_amount, 'exclusions'
from revenue where excluded_amount != 0
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 1, 4,
    case share_basis when 'pct_above_breakpoint' then 'breakpoint_deduction' else 'floor_deduction' end, null, null, null, deduction_amount,
    case share_basis when 'pct_above_breakpoint' then 'breakpoint_amount' else 'floor_price_per_gpu_hour' end
from bases where deduction_amount != 0 and share_basis in ('pct_above_floor', 'pct_above_breakpoint')
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 1, 5, 'carried_forward', null, null, null, sum(carried_amount), 'negative_base'
from bases group by contract_id, point_no, service_month, part_id having sum(carried_amount) != 0
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 1, 6, 'recouped_before_share', null, null, null, sum(recouped_amount),
    'token_advances'
from bases group by contract_id, point_no, service_month, part_id having sum(recouped_amount) != 0
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 1, 9, 'base', null, null, null, sum(base_amount), 'share_basis'
from bases group by contract_id, point_no, service_month, part_id
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 2, tier_no, 'tier', null, sum(slice_amount),
    case when min(rate) = max(rate) then min(rate) end, sum(share_amount), 'tiers'
from tiers group by contract_id, point_no, service_month, part_id, tier_no having sum(slice_amount) != 0 or sum(share_amount) != 0
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 3, 1, 'share_by_tiers', null, null, null, tier_share_amount, 'tiers'
from share_months
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 3, 2, 'not_active', null, null, null, earned_amount - tier_share_amount,
    'activation'
from share_months where earned_amount != tier_share_amount
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 3, 3, 'minimum_top_up', null, null, null, top_up_amount, 'minimum_guarantee'
from share_months where top_up_amount != 0
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 3, 4, 'true_up', null, null, null, true_up_amount, 'true_up'
from share_months where true_up_amount != 0
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 3, 5, 'true_up_offset', null, null, null, -true_up_offset_amount, 'true_up'
from share_months where true_up_offset_amount != 0
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 3, 6, 'cut_by_caps', null, null, null, -cap_reduction_amount,
    'period_cap'
from share_months where cap_reduction_amount != 0
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 3, 7, 'recouped_from_share', null, null, null,
    unrounded_share_amount - limited_share_amount, 'token_advances'
from share_months where unrounded_share_amount != limited_share_amount
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 3, 8, 'rounding', null, null, null, share_amount - unrounded_share_amount, null
from share_months where share_amount != unrounded_share_amount
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 3, 9, 'gross_up', null, null, null, invoiced_amount - share_amount, 'gross_up'
from share_months where invoiced_amount != share_amount
union all
select 'revenue_share', contract_id, point_no, service_month, share_id, 3, 13, 'reserved', null, billed_amount, reserve_fraction,
    -reserved_amount, 'reserve_pct'
from known_share_reserves
union all
select 'revenue_share', contract_id, point_no, service_month, share_id, 3, 12, 'advance_interest', null, main.settled(sum(unrecouped_amount)),
    case when min(interest_rate) = max(interest_rate) then min(interest_rate) end, main.settled(sum(interest_amount)),
    'token_advances'
from known_advance_interest group by contract_id, point_no, service_month, share_id
union all
select 'revenue_share', contract_id, point_no, service_month, share_id, 3, 11, 'true_up_interest', null, kept_amount, null, interest_amount,
    'true_up'
from known_share_true_ups where interest_amount != 0
union all
select 'revenue_share', contract_id, point_no, service_month, part_id, 3, 10, 'amount_due', null, null, null, invoiced_amount, 'payment_terms_days'
from share_months
{% for column, place, term in [
    ('installed', 1, none), ('committed', 2, 'committed_fraction'), ('excluded', 3, 'excluded_causes'), ('third_party', 4, none),
    ('vendor_use', 5, 'buyer_own_use_reduces'), ('unsold', 6, none), ('deductible', 7, 'deductible_fraction'), ('claim', 8, none),
] %}
union all
select 'backstop', contract_id, point_no, service_month, part_id, 1, {{ place }}, '{{ column }}', {{ column }}_gpu_hours, null, null, null,
    {{ "'" ~ term ~ "'" if term else 'null' }}
from tranche_months{{ " where guaranteed_gpu_hours is null or claim_gpu_hours != 0" if column == 'claim' }}
{% endfor %}
union all
select 'backstop', contract_id, point_no, service_month, part_id, 1, 9, 'guaranteed', guaranteed_gpu_hours, null, null, null, 'settlement_type'
from tranche_months where guaranteed_gpu_hours is not null
union all
select 'backstop', contract_id, point_no, service_month, '', 2, 0, 'payment_due', null, null, null, sum(payment_due_amount), 'settlement_type'
from payments group by contract_id, point_no, service_month
union all
select 'backstop', contract_id, point_no, service_month, '', 2, 1, 'payment_made', null, null, null, -sum(payment_made_amount), 'settlement_type'
from payments group by contract_id, point_no, service_month
union all
select 'backstop', contract_id, point_no, service_month, part_id, 2, 1, 'most_guaranteed', guaranteed_gpu_hours, guaranteed_amount, price, null,
    'buyback_price'
from tranche_months where guarantees_payment
union all
select 'backstop', contract_id, point_no, service_month, part_id, 2, 1, 'guaranteed_revenue', guaranteed_gpu_hours, null, price, guaranteed_amount,
    'buyback_price'
from tranche_months where third_party_revenue_amount is not null
union all
select 'backstop', contract_id, point_no, service_month, part_id, 2, 2, 'third_party_revenue', null, null, null, -third_party_revenue_amount, 'fx'
from tranche_months where third_party_revenue_amount is not null
union all
select 'backstop', contract_id, point_no, service_month, part_id, 2, 3, 'revenue_above_guarantee', null, null, null,
    shortfall_amount - guaranteed_amount + third_party_revenue_amount, 'settlement_type'
from tranche_months where shortfall_amount != guaranteed_amount - third_party_revenue_amount
union all
select 'backstop', contract_id, point_no, service_month, part_id, 2, 4, 'claim_before_caps',
    case when guaranteed_gpu_hours is null or claim_gpu_hours != 0 then claim_gpu_hours end, null,
    case when guaranteed_gpu_hours is null then price end, claim_before_caps_amount,
    case when guaranteed_gpu_hours is null then 'buyback_price' else 'settlement_type' end
from tranche_months
union all
select 'backstop', contract_id, point_no, service_month, '', 3, 1, 'claims_before_caps', null, null, null, before_caps_amount, 'buyback_price'
from known_backstop_month_states
union all
select 'backstop', contract_id, point_no, service_month, '', 3, 2, 'rounding', null, null, null, rounded_amount - before_caps_amount, null
from known_backstop_month_states where rounded_amount != before_caps_amount
union all
select 'backstop', contract_id, point_no, service_month, '', 3, 3, 'cut_by_caps', null, null, null, claim_amount - rounded_amount, 'period_cap'
from known_backstop_month_states where claim_amount != rounded_amount
union all
select 'backstop', contract_id, point_no, service_month, '', 3, 10, 'amount_due', null, null, null, claim_amount, 'claim'
from known_backstop_month_states
union all
select 'backstop', contract_id, point_no, service_month, tranche_id, 4, 1, 'claw_back', null, main.settled(sum(claimed_for_gpus_amount)),
    case when min(claw_back_fraction) = max(claw_back_fraction) then min(claw_back_fraction) end,
    main.settled(sum(claw_back_amount)), 'seller_withdrawal'
from known_backstop_claw_backs group by contract_id, point_no, service_month, tranche_id
union all
select 'backstop', contract_id, point_no, service_month, '', 4, 2, 'termination_payment', null, null, null, unrounded_amount, 'early_termination'
from known_backstop_dues where event = 'termination_payment'
{%- for event, term, place in [('termination_cost', 'early_termination', 1), ('residual_value_support', 'residual_value_support_pct', 2)] %}
union all
select 'backstop', contract_id, point_no, service_month, '', 5, {{ place }}, '{{ event }}', null, null, null, unrounded_amount, '{{ term }}'
from known_backstop_dues where event = '{{ event }}'
{%- endfor %}
union all
{%- for who, section, total in [('operator', 4, 'owed_by_operator'), ('vendor', 5, 'owed_by_vendor')] %}
select 'backstop', contract_id, point_no, service_month, '', {{ section }}, 8, 'rounding', null, null, null,
    main.settled(sum(due_amount - unrounded_amount)), null
from known_backstop_dues where owed_by = '{{ who }}'
group by contract_id, point_no, service_month having sum(due_amount - unrounded_amount) != 0
union all
select 'backstop', contract_id, point_no, service_month, '', {{ section }}, 9, '{{ total }}', null, null, null, main.settled(sum(due_amount)), 'claim'
from known_backstop_dues where owed_by = '{{ who }}'
group by contract_id, point_no, service_month{{ ' union all' if not loop.last }}
{%- endfor %} -- noqa: enable=all
