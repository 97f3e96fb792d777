-- What a withdrawal of capacity takes back of the claims that were made for it, day by day: each earlier service month's claim, by the
-- part of the withdrawn GPUs in the hours installed then, times the agreed fraction. No tranche gives back more than that fraction of its claims.
-- A withdrawal looks back: where one takes claims back, the months before it stand beside each point.
with months as (
    select *
    from {{ ref('int_known_months') }}
    where
        contract_id in (
            select agreed.contract_id
            from {{ ref('int_backstop_segments') }} as agreed
            where agreed.withdrawal_claw_back_fraction > 0
        )
),

{% for name in ['segments', 'withdrawals', 'claims'] -%}
known_{{ name }} as (
    select
        months.point_no,
        states.* exclude (point_no)
    from months
    inner join {{ ref('int_backstop_' ~ name) }} as states
        on
            months.contract_id = states.contract_id
            and months.state_point_no = states.point_no
            and months.service_month = states.service_month
),

{% endfor -%}
daily as (
    select
        *,
        case
            when lag(service_date) over tranche_days = service_date - 1 then lag(withdrawn_gpu_count) over tranche_days else 0
        end as withdrawn_before_gpu_count
    from known_withdrawals
    window tranche_days as (partition by contract_id, point_no, tranche_id order by service_date)
),

withdrawals as (
    select
        daily.contract_id,
        daily.point_no,
        daily.tranche_id,
        daily.service_month,
        daily.service_date,
        daily.withdrawn_gpu_count - daily.withdrawn_before_gpu_count as gpu_count,
        segments.withdrawal_claw_back_fraction,
        segments.claim_notice_days + segments.claim_payment_days as payment_terms_days
    from daily
    inner join known_segments as segments
        on
            daily.contract_id = segments.contract_id
            and daily.point_no = segments.point_no
            and daily.tranche_id = segments.tranche_id
            and daily.service_month = segments.service_month
            and daily.segment_no = segments.segment_no
    where daily.withdrawn_gpu_count > daily.withdrawn_before_gpu_count and segments.withdrawal_claw_back_fraction > 0
),

-- Hours of one GPU, and of all that were in the commitment, in each month; and the month's claim after caps, unrounded.
claimed_months as (
    select
        claims.contract_id,
        claims.point_no,
        claims.tranche_id,
        claims.service_month,
        sum(main.whole_quotient(epoch_us(segments.to_at) - epoch_us(segments.from_at), 3600000000)) as month_hours,
        sum(claims.installed_gpu_hours) as installed_gpu_hours,
        main.exact_ratio(
            sum(claims.claim_before_caps_amount), any_value(months.claim_amount), any_value(months.before_caps_amount)
        ) as claim_amount
    from known_claims as claims
    inner join known_segments as segments
        on
            claims.contract_id = segments.contract_id
            and claims.point_no = segments.point_no
            and claims.tranche_id = segments.tranche_id
            and claims.service_month = segments.service_month
            and claims.segment_no = segments.segment_no
    inner join {{ ref('int_backstop_months') }} as months
        on
            claims.contract_id = months.contract_id
            and claims.point_no = months.point_no
            and claims.service_month = months.service_month
    where
        months.claim_amount != 0
        and (claims.contract_id, claims.point_no, claims.tranche_id) in (
            select (withdrawals.contract_id, withdrawals.point_no, withdrawals.tranche_id)
            from withdrawals
        )
    group by claims.contract_id, claims.point_no, claims.tranche_id, claims.service_month
    having sum(claims.installed_gpu_hours) > 0
),

taken_back as (
    select
        withdrawals.*,
        coalesce(sum(claimed_months.claim_amount), 0) as claimed_amount,
        coalesce(sum(main.exact_ratio(
            claimed_months.claim_amount,
            least(claimed_months.installed_gpu_hours, withdrawals.gpu_count * claimed_months.month_hours),
            claimed_months.installed_gpu_hours
        )), 0) as claimed_for_gpus_amount
    from withdrawals
    left join claimed_months
        on
            withdrawals.contract_id = claimed_months.contract_id
            and withdrawals.point_no = claimed_months.point_no
            and withdrawals.tranche_id = claimed_months.tranche_id
            and withdrawals.service_month > claimed_months.service_month
    group by all
),

-- The running sum of what each withdrawal would take back, held under the fraction of all claims by then: reflected at the bound.
running as (
    select
        *,
        main.exact_product(claimed_for_gpus_amount, withdrawal_claw_back_fraction) as unbounded_amount,
        main.exact_product(claimed_amount, withdrawal_claw_back_fraction) as bound_amount,
        sum(unbounded_amount) over withdrawals_so_far as unbounded_sum
    from taken_back
    window withdrawals_so_far as (partition by contract_id, point_no, tranche_id order by service_date)
),

bounded as (
    select
        *,
        unbounded_sum + least(0, min(bound_amount - unbounded_sum) over (
            partition by contract_id, point_no, tranche_id order by service_date
        )) as taken_back_sum
    from running
)

select
    contract_id,
    point_no,
    tranche_id,
    service_month,
    service_date,
    gpu_count,
    cast(claimed_for_gpus_amount as decimal(38, 18)) as claimed_for_gpus_amount,
    withdrawal_claw_back_fraction as claw_back_fraction,
    cast(taken_back_sum - coalesce(lag(taken_back_sum) over (
        partition by contract_id, point_no, tranche_id order by service_date
    ), 0) as decimal(38, 18)) as claw_back_amount,
    payment_terms_days
from bounded
