{{ config(
    materialized='incremental',
    incremental_strategy='known_months',
    on_schema_change='append_new_columns',
    post_hook="{{ keep_months() }}"
) }}

-- The rounded share of each block and month, laid over its leases; a lease's parts are then added. Lines are those of the home's clock.
with known_months as (
    select months.*
    from {{ ref('int_known_months') }} as months
    {{ months_to_build('months') }}
    where months.is_clock
),

lease_parts as (
    select
        revenue.contract_id,
        revenue.point_no,
        revenue.share_id,
        revenue.service_month,
        revenue.lease_id,
        sum(revenue.measured_amount + revenue.excluded_amount) as part_weight
    from {{ ref('int_share_revenue') }} as revenue
    inner join known_months
        on
            revenue.contract_id = known_months.contract_id
            and revenue.point_no = known_months.state_point_no
            and revenue.service_month = known_months.service_month
    -- What capacity costs is no lease's.
    where revenue.lease_id is not null
    group by revenue.contract_id, revenue.point_no, revenue.share_id, revenue.service_month, revenue.lease_id
    having sum(revenue.measured_amount + revenue.excluded_amount) != 0
),

months as (
    select
        months.contract_id,
        months.share_id,
        months.point_no,
        months.service_month,
        months.share_amount,
        months.currency_code,
        months.minor_unit_digits
    from {{ ref('int_share_month_states') }} as months
    inner join known_months
        on
            months.contract_id = known_months.contract_id
            and months.point_no = known_months.state_point_no
            and months.service_month = known_months.service_month
),

weighted_parts as (
    select
        months.*,
        lease_parts.lease_id,
        lease_parts.part_weight
    from months
    inner join lease_parts
        on
            months.contract_id = lease_parts.contract_id
            and months.point_no = lease_parts.point_no
            and months.share_id = lease_parts.share_id
            and months.service_month = lease_parts.service_month
    qualify sum(lease_parts.part_weight) over (partition by months.contract_id, months.share_id, months.service_month) != 0
),

lines as (
    {{ largest_remainder(
        'weighted_parts', 'contract_id, share_id, service_month', 'share_amount', 'part_weight', 'minor_unit_digits', 'lease_id'
    ) }}
),

-- Where the parts sum to nothing, one line without a lease.
unallocated as (
    select
        months.*,
        cast(null as varchar) as lease_id,
        months.share_amount as part_amount
    from months
    anti join weighted_parts
        on
            months.contract_id = weighted_parts.contract_id
            and months.share_id = weighted_parts.share_id
            and months.service_month = weighted_parts.service_month
),

all_lines as (
    select * from lines
    union all by name
    select * from unallocated
)

select
    contract_id,
    service_month,
    lease_id,
    cast(sum(part_amount) as decimal(18, 2)) as share_amount,
    any_value(currency_code) as currency_code
from all_lines
group by contract_id, service_month, lease_id
having sum(part_amount) != 0
