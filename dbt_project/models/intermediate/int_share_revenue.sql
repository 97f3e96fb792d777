{{ config(
    materialized='incremental',
    incremental_strategy='known_points',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_points() }}"
) }}

-- The components in the contract's currency, with what each adds to the base by its measure and takes out of it by its exclusions.
with components as (
    select components.*
    from {{ ref('int_share_components') }} as components
    {{ points_to_build('components') }}
),

-- Segments of which the operator has told what they cost.
told_costs as (
    select distinct
        contract_id,
        point_no,
        share_id,
        service_month,
        segment_no
    from components
    where component = 'operating_cost'
),

translated as (
    select
        components.* exclude (component_amount, component_currency_code),
        segments.base_measure,
        segments.exclusions,
        components.component in ({{ billed_kinds() }}) as is_billed,
        -- Nothing is earned of EBITDA before the operator has told what anything costs.
        coalesce(segments.base_measure, '') != 'ebitda' or told_costs.contract_id is not null as is_told,
        {{ translated('components.component_amount') }} as component_amount,
        {{ translated('components.price_per_gpu_hour') }} as translated_price_per_gpu_hour
    from components
    inner join {{ ref('int_share_segments') }} as segments
        on
            components.contract_id = segments.contract_id
            and components.point_no = segments.point_no
            and components.share_id = segments.share_id
            and components.service_month = segments.service_month
            and components.segment_no = segments.segment_no
    left join told_costs
        on
            components.contract_id = told_costs.contract_id
            and components.point_no = told_costs.point_no
            and components.share_id = told_costs.share_id
            and components.service_month = told_costs.service_month
            and components.segment_no = told_costs.segment_no
    left join {{ ref('int_fx_rates') }} as fx
        on
            components.contract_id = fx.contract_id
            and components.point_no = fx.point_no
            and components.share_id = fx.share_id
            and components.service_month = fx.service_month
            and components.segment_no = fx.segment_no
            and components.component_currency_code = fx.from_currency
),

signed as (
    select
        *,
        case
            when base_measure = 'cash_collected' then component = 'cash_collected'
            when not is_told then false
            when component = 'operating_cost' then base_measure = 'ebitda'
            when component = 'gross' or is_billed then true
            when component in ('credit', 'refund', 'sla_penalty') then base_measure in ('net_billed', 'ebitda')
            else false
        end as is_measured,
        case component
            when 'sales_tax' then list_contains(exclusions, 'sales_tax')
            when 'power_passthrough' then list_contains(exclusions, 'power_passthrough')
            when 'other_revenue' then list_contains(exclusions, 'other_revenue')
            when 'storage_network_resale' then list_contains(exclusions, 'storage_network_resale')
            when 'breakage_fee' then list_contains(exclusions, 'breakage_fees')
            when 'sla_penalty' then list_contains(exclusions, 'sla_penalties')
            when 'credit' then list_contains(exclusions, 'credits_refunds')
            when 'refund' then list_contains(exclusions, 'credits_refunds')
            when 'bad_debt' then list_contains(exclusions, 'bad_debt')
            else false
        end as is_named
    from translated
)

select
    * exclude (is_billed, is_measured, is_named, is_told, exclusions),
    case when is_measured then component_amount else 0 end as measured_amount,
    -- A billed kind that is named leaves the base; a reduction that is named is deducted, unless the measure has done so or is cash.
    case
        when not (coalesce(is_named, false) and is_told) then 0
        when is_billed then -component_amount
        when base_measure = 'cash_collected' or is_measured then 0
        else component_amount
    end as excluded_amount
from signed
