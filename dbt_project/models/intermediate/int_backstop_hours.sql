{{ config(
    materialized='incremental',
    incremental_strategy='known_points',
    on_schema_change='sync_all_columns',
    post_hook="{{ keep_points() }}"
) }}

-- The hours behind a claim, segment by segment, at each point that knows otherwise of the month than the one before: installed, excluded, committed,
-- used, unsold, deductible. DECIMAL(38, 18) GPU-hours.
with segments as (
    select segments.*
    from {{ ref('int_backstop_segments') }} as segments
    {{ points_to_build('segments') }}
),

segment_days as (
    select
        segments.contract_id,
        segments.point_no,
        segments.tranche_id,
        segments.service_month,
        segments.segment_no,
        segments.park_id,
        segments.known_at,
        segments.gpu_count,
        cast(unnest(generate_series(segments.from_date, segments.to_date, interval 1 day)) as date) as service_date,
        segments.time_zone
    from segments
),

day_hours as (
    select
        segment_days.contract_id,
        segment_days.point_no,
        segment_days.tranche_id,
        segment_days.service_month,
        segment_days.segment_no,
        cast(segment_days.gpu_count - coalesce(withdrawals.withdrawn_gpu_count, 0) as hugeint) * (
            epoch_us(timezone(segment_days.time_zone, cast(segment_days.service_date + 1 as timestamp)))
            - epoch_us(timezone(segment_days.time_zone, cast(segment_days.service_date as timestamp)))
        ) as installed,
        cast(coalesce(withdrawals.withdrawn_gpu_count, 0) as hugeint) * 3600000000 as withdrawn_in_hour,
        outages.declared_maintenance,
        outages.declared_fault,
        outages.declared_curtailment,
        outages.declared_delivery,
        outages.declared_force_majeure,
        outages.declared_acceptance_failed,
        outages.undeclared_fault,
        outages.undeclared_no_sample_hours
    from segment_days
    left join {{ ref('int_backstop_withdrawals') }} as withdrawals
        on
            segment_days.contract_id = withdrawals.contract_id
            and segment_days.point_no = withdrawals.point_no
            and segment_days.tranche_id = withdrawals.tranche_id
            and segment_days.service_month = withdrawals.service_month
            and segment_days.segment_no = withdrawals.segment_no
            and segment_days.service_date = withdrawals.service_date
    left join {{ ref('int_outage_states') }} as states
        on
            segment_days.tranche_id = states.tranche_id
            and segment_days.service_date = states.service_date
            and {{ known_at('states', 'segment_days.known_at') }}
    left join {{ ref('int_outages__by_tranche_day') }} as outages
        on
            states.tranche_id = outages.tranche_id
            and states.service_date = outages.service_date
            and states.state_at = outages.state_at
),

supply as (
    select
        contract_id,
        point_no,
        tranche_id,
        service_month,
        segment_no,
        main.whole_quotient(sum(installed), 3600000000) as installed_gpu_hours,
        main.whole_quotient(sum(coalesce(declared_maintenance, 0)), 3600000000) as maintenance_gpu_hours,
        main.whole_quotient(sum(
            coalesce(declared_fault, 0) + coalesce(undeclared_fault, 0)
            -- What was withdrawn need not report: of an hour's silent GPUs it is the first.
            + coalesce(list_sum(list_transform(undeclared_no_sample_hours, lambda silent: greatest(0, silent - withdrawn_in_hour))), 0)
        ), 3600000000) as fault_gpu_hours,
        main.whole_quotient(sum(coalesce(declared_curtailment, 0)), 3600000000) as curtailment_gpu_hours,
        main.whole_quotient(sum(coalesce(declared_delivery, 0)), 3600000000) as delivery_gpu_hours,
        main.whole_quotient(sum(coalesce(declared_force_majeure, 0)), 3600000000) as force_majeure_gpu_hours,
        main.whole_quotient(sum(coalesce(declared_acceptance_failed, 0)), 3600000000) as acceptance_failed_gpu_hours
    from day_hours
    group by contract_id, point_no, tranche_id, service_month, segment_no
),

-- Of metered use that in the months of the segments alone, picked out before its leases are looked up.
segment_months as (
    select distinct
        park_id,
        service_month
    from segments
),

use_of_months as materialized (
    select used.*
    from {{ ref('int_lease_use') }} as used
    semi join segment_months on used.park_id = segment_months.park_id and used.service_month = segment_months.service_month
),

metered as (
    select
        leases.park_id,
        leases.tranche_id,
        leases.customer_type = 'vendor_own_use' as is_vendor,
        used.service_month,
        used.service_date,
        used.gpu_hours,
        greatest(leases.known_from_at, used.known_from_at) as known_from_at,
        least(leases.known_until_at, used.known_until_at) as known_until_at
    from use_of_months as used
    inner join {{ ref('int_lease_intervals') }} as leases
        on
            {{ is_used_under('used', 'leases') }}
            and {{ known_together('leases', 'used') }}
    where leases.is_billing and leases.pricing = 'metered'
),

billed as (
    select
        segments.contract_id,
        segments.point_no,
        segments.tranche_id,
        segments.service_month,
        segments.segment_no,
        leases.customer_type = 'vendor_own_use' as is_vendor,
        {{ gpu_hours_of_overlap('leases.gpu_count', 'segments.from_at', 'segments.to_at', 'leases.holds_from_at', 'leases.holds_until_at') }}
            as gpu_hours
    from segments
    inner join {{ ref('int_lease_intervals') }} as leases
        on
            segments.park_id = leases.park_id
            and segments.tranche_id = leases.tranche_id
            and segments.from_at < leases.holds_until_at
            and segments.to_at > leases.holds_from_at
            and {{ known_at('leases', 'segments.known_at') }}
    where leases.is_billing and leases.pricing = 'reserved'
    union all
    select
        segments.contract_id,
        segments.point_no,
        segments.tranche_id,
        segments.service_month,
        segments.segment_no,
        metered.is_vendor,
        metered.gpu_hours
    from segments
    inner join metered
        on
            segments.park_id = metered.park_id
            and segments.tranche_id = metered.tranche_id
            and segments.service_month = metered.service_month
            and metered.service_date between segments.from_date and segments.to_date
            and {{ known_at('metered', 'segments.known_at') }}
),

used as (
    select
        contract_id,
        point_no,
        tranche_id,
        service_month,
        segment_no,
        cast(coalesce(sum(gpu_hours) filter (where not is_vendor), 0) as decimal(38, 18)) as third_party_gpu_hours,
        cast(coalesce(sum(gpu_hours) filter (where is_vendor), 0) as decimal(38, 18)) as vendor_use_gpu_hours
    from billed
    group by contract_id, point_no, tranche_id, service_month, segment_no
),

raw_hours as (
    select
        segments.*,
        supply.installed_gpu_hours,
        coalesce(used.third_party_gpu_hours, 0::decimal(38, 18)) as third_party_gpu_hours,
        coalesce(used.vendor_use_gpu_hours, 0::decimal(38, 18)) as vendor_use_gpu_hours,
        -- A cause that the terms do not list is the vendor's risk.
        case when list_contains(segments.excluded_causes, 'operator_fault') then supply.fault_gpu_hours else 0 end
        + case when list_contains(segments.excluded_causes, 'power_curtailment') then supply.curtailment_gpu_hours else 0 end
        + case when list_contains(segments.excluded_causes, 'late_delivery') then supply.delivery_gpu_hours else 0 end
        + case when list_contains(segments.excluded_causes, 'force_majeure') then supply.force_majeure_gpu_hours else 0 end
        + case when list_contains(segments.excluded_causes, 'acceptance_failed') then supply.acceptance_failed_gpu_hours else 0 end
        + case
            -- All of it, with or without an allowance.
            when list_contains(segments.excluded_causes, 'planned_maintenance') then supply.maintenance_gpu_hours
            when list_contains(segments.excluded_causes, 'maintenance_above_allowance')
                then greatest(
                    0,
                    supply.maintenance_gpu_hours
                    - main.exact_product(supply.installed_gpu_hours, coalesce(segments.maintenance_allowance_fraction, 0))
                )
            else 0
        end as excluded_raw_gpu_hours,
        main.exact_product(
            main.exact_product(supply.installed_gpu_hours, segments.committed_fraction), segments.ramp_fraction
        ) as committed_gpu_hours
    from segments
    inner join supply
        on
            segments.contract_id = supply.contract_id
            and segments.point_no = supply.point_no
            and segments.tranche_id = supply.tranche_id
            and segments.service_month = supply.service_month
            and segments.segment_no = supply.segment_no
    left join used
        on
            segments.contract_id = used.contract_id
            and segments.point_no = used.point_no
            and segments.tranche_id = used.tranche_id
            and segments.service_month = used.service_month
            and segments.segment_no = used.segment_no
),

-- Sold hours come first: what was sold was not out of supply.
excluded as (
    select
        *,
        least(
            excluded_raw_gpu_hours, greatest(0, installed_gpu_hours - third_party_gpu_hours - vendor_use_gpu_hours)
        ) as excluded_gpu_hours
    from raw_hours
),

unsold as (
    select
        *,
        -- No hour is both used and bought back, whether or not own use reduces the commitment.
        greatest(0, least(
            committed_gpu_hours - excluded_gpu_hours - third_party_gpu_hours
            - case when coalesce(buyer_own_use_reduces, true) then vendor_use_gpu_hours else 0 end,
            installed_gpu_hours - excluded_gpu_hours - third_party_gpu_hours - vendor_use_gpu_hours
        )) as unsold_gpu_hours
    from excluded
),

deducted as (
    select
        *,
        -- greatest() passes over a null: of several deductibles the largest, of one that one, of none nothing.
        cast(coalesce(
            greatest(
                {{ prorated('unsold.deductible_gpu_hours', 'unsold') }},
                main.exact_product(committed_gpu_hours, deductible_fraction),
                main.exact_product(installed_gpu_hours, first_loss_band)
            ),
            0
        ) as decimal(38, 18)) as agreed_deductible_gpu_hours,
        least(unsold_gpu_hours, agreed_deductible_gpu_hours) as deductible_gpu_hours_taken
    from unsold
)

select
    contract_id,
    point_no,
    tranche_id,
    service_month,
    segment_no,
    previous_month,
    previous_point_no,
    amendment_id,
    from_date,
    to_date,
    installed_gpu_hours,
    excluded_raw_gpu_hours,
    cast(excluded_gpu_hours as decimal(38, 18)) as excluded_gpu_hours,
    committed_gpu_hours,
    third_party_gpu_hours,
    vendor_use_gpu_hours,
    cast(unsold_gpu_hours as decimal(38, 18)) as unsold_gpu_hours,
    cast(deductible_gpu_hours_taken as decimal(38, 18)) as deductible_gpu_hours,
    agreed_deductible_gpu_hours,
    settlement_type,
    buyer_own_use_reduces,
    cast(unsold_gpu_hours - deductible_gpu_hours_taken as decimal(38, 18)) as claim_gpu_hours,
    buyback_price_per_gpu_hour,
    case
        when buyback_price_per_gpu_hour is null
            then
                error(
                    'contract ' || contract_id || ': no buy-back price for contract month ' || contract_month
                    || ' (' || strftime(service_month, '%Y-%m') || ')'
                )
        else main.exact_product(unsold_gpu_hours - deductible_gpu_hours_taken, buyback_price_per_gpu_hour)
    end as claim_before_caps_amount,
    main.exact_product(third_party_gpu_hours, buyback_price_per_gpu_hour) as third_party_sale_amount
from deducted
