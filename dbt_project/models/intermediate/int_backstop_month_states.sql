-- Claims of a contract month after month under its caps, as known at each point that knows otherwise of the month than the one before. Caps bind the
-- contract's tranches together. The first month that a point knows otherwise follows from where the one before it stands.
with recursive
tranche_months as (
    select
        contract_id,
        point_no,
        tranche_id,
        service_month,
        any_value(previous_month) as previous_month,
        any_value(previous_point_no) as previous_point_no,
        sum(claim_before_caps_amount) as claim_before_caps_amount,
        sum(third_party_sale_amount) as third_party_sale_amount
    from {{ ref('int_backstop_claims') }}
    group by contract_id, point_no, tranche_id, service_month
),

points as (
    select *
    from {{ ref('int_knowledge_points') }}
    where
        contract_id in (
            select terms.contract_id
            from {{ ref('stg_backstop_terms') }} as terms
            where terms.lifetime_cap_index_id is not null
        )
),

price_index_levels as (
    {{ price_index_levels('points', 'point_no', 'points.known_at') }}
),

-- The caps in force on the month's last day, also where no tranche is in force on it; after the backstop's end, those of its end.
month_terms as (
    select
        claimed_months.contract_id,
        claimed_months.point_no,
        claimed_months.service_month,
        date_diff('month', date_trunc('month', terms.service_commencement_date), claimed_months.service_month) + 1 as contract_month,
        contracts.currency_code,
        contracts.minor_unit_digits,
        terms.amendment_id,
        backstop_terms.period_cap_amount,
        backstop_terms.period_cap_period,
        backstop_terms.annual_cap_amount,
        cast(main.indexed(
            backstop_terms.lifetime_cap_amount, levels.levels, terms.service_commencement_date, claimed_months.service_month
        ) as decimal(18, 2)) as lifetime_cap_amount,
        backstop_terms.lifetime_cap_reduces_with,
        terms.service_commencement_date,
        least(backstop_terms.expiry_date, terms.contract_expiry_date) as backstop_expiry_date
    from (
        select distinct
            contract_id,
            point_no,
            service_month
        from tranche_months
    ) as claimed_months
    inner join {{ ref('stg_contract') }} as contracts on claimed_months.contract_id = contracts.contract_id
    inner join {{ ref('int_terms_in_force') }} as terms
        on
            claimed_months.contract_id = terms.contract_id
            and claimed_months.point_no = terms.point_no
            and terms.instrument = 'backstop'
            and last_day(claimed_months.service_month) >= terms.from_date
    inner join {{ ref('stg_backstop_terms') }} as backstop_terms
        on terms.contract_id = backstop_terms.contract_id and terms.amendment_id = backstop_terms.amendment_id
    left join price_index_levels as levels
        on
            claimed_months.contract_id = levels.contract_id
            and claimed_months.point_no = levels.point_no
            and backstop_terms.lifetime_cap_index_id = levels.index_id
    qualify row_number() over (
        partition by claimed_months.contract_id, claimed_months.point_no, claimed_months.service_month order by terms.from_date desc
    ) = 1
),

months as (
    select
        month_terms.*,
        sums.before_caps_amount,
        sums.rounded_amount,
        case month_terms.period_cap_period
            when 'month' then month_terms.service_month
            when 'quarter' then cast(date_trunc('quarter', month_terms.service_month) as date)
            when 'year'
                then cast(
                    date_trunc('month', month_terms.service_commencement_date)
                    + to_years(cast((month_terms.contract_month - 1) // 12 as integer)) as date
                )
        end as period_from_date,
        cast(
            date_trunc('month', month_terms.service_commencement_date)
            + to_years(cast((month_terms.contract_month - 1) // 12 as integer)) as date
        ) as contract_year_from_date,
        sums.third_party_sale_amount,
        case
            when list_contains(month_terms.lifetime_cap_reduces_with, 'time')
                then {{ worn_by_time('month_terms', 'last_day(month_terms.service_month)', 'month_terms.backstop_expiry_date') }}
            else 0
        end as worn_by_time_amount,
        -- Before the first of all is nothing.
        coalesce(case when lag(month_terms.service_month) over month_order is null then sums.previous_point_no end, month_terms.point_no)
            as previous_point_no,
        coalesce(lag(month_terms.service_month) over month_order, sums.previous_month, date '0001-01-01') as previous_month
    from month_terms
    inner join (
        select
            tranche_months.contract_id,
            tranche_months.point_no,
            tranche_months.service_month,
            any_value(tranche_months.previous_month) as previous_month,
            any_value(tranche_months.previous_point_no) as previous_point_no,
            sum(tranche_months.claim_before_caps_amount) as before_caps_amount,
            sum(main.rounded_money(tranche_months.claim_before_caps_amount, contracts.minor_unit_digits)) as rounded_amount,
            sum(tranche_months.third_party_sale_amount) as third_party_sale_amount
        from tranche_months
        inner join {{ ref('stg_contract') }} as contracts on tranche_months.contract_id = contracts.contract_id
        group by tranche_months.contract_id, tranche_months.point_no, tranche_months.service_month
    ) as sums
        on
            month_terms.contract_id = sums.contract_id
            and month_terms.point_no = sums.point_no
            and month_terms.service_month = sums.service_month
    window month_order as (partition by month_terms.contract_id, month_terms.point_no order by month_terms.service_month)
),

steps as (
    select
        contract_id,
        point_no,
        date '0001-01-01' as service_month,
        cast([] as struct(service_month date, claim_amount decimal(38, 2))[]) as claims,
        0::decimal(38, 2) as cumulative_claim_amount,
        0::decimal(38, 2) as claim_amount,
        0::decimal(38, 2) as room_amount,
        0::decimal(38, 18) as third_party_sold_amount,
        0::decimal(38, 18) as lifetime_cap_left_amount
    from months
    where previous_month = date '0001-01-01'
    union all
    select
        contract_id,
        point_no,
        service_month,
        list_append(claims, struct_pack(service_month := service_month, claim_amount := claim_amount)) as claims,
        cast(cumulative_before_amount + claim_amount as decimal(38, 2)) as cumulative_claim_amount,
        claim_amount,
        room_amount,
        third_party_sold_amount,
        cast(lifetime_room_amount - claim_amount as decimal(38, 18)) as lifetime_cap_left_amount
    from (
        select
            *,
            cast(least(rounded_amount, room_amount) as decimal(38, 2)) as claim_amount
        from (
            select
                *,
                -- Never above a cap: what a falling cap leaves is cut to the minor unit.
                main.floored_money(least(period_room_amount, lifetime_room_amount), minor_unit_digits) as room_amount
            from (
                select
                    *,
                    cast(least(
                        {{ room_under('period_cap_amount', 'period_before_amount') }},
                        {{ room_under('annual_cap_amount', 'year_before_amount') }}
                    ) as decimal(38, 12)) as period_room_amount,
                    cast(
                        {{ room_under('lifetime_cap_amount', '(cumulative_before_amount + lifetime_reduction_amount)') }} as decimal(38, 12)
                    ) as lifetime_room_amount
                from (
                    select
                        months.*,
                        steps.claims,
                        cast(steps.third_party_sold_amount + months.third_party_sale_amount as decimal(38, 18)) as third_party_sold_amount,
                        -- What time and third-party sales have taken off the lifetime cap by the month's end, the month itself included.
                        months.worn_by_time_amount + case
                            when list_contains(months.lifetime_cap_reduces_with, 'third_party_sale')
                                then cast(steps.third_party_sold_amount + months.third_party_sale_amount as decimal(38, 18))
                            else 0
                        end as lifetime_reduction_amount,
                        -- All that the period has claimed, also in months whose terms had no cap, or another period's.
                        {{ accrued_since('steps.claims', 'claim_amount', 'months.period_from_date') }} as period_before_amount,
                        {{ accrued_since('steps.claims', 'claim_amount', 'months.contract_year_from_date') }} as year_before_amount,
                        steps.cumulative_claim_amount as cumulative_before_amount
                    from steps
                    inner join months
                        on
                            steps.contract_id = months.contract_id
                            and steps.point_no = months.previous_point_no
                            and steps.service_month = months.previous_month
                ) as drawn
            ) as roomed
        ) as cut
    ) as claimed
)

select
    months.contract_id,
    months.point_no,
    months.service_month,
    months.amendment_id,
    months.currency_code,
    months.minor_unit_digits,
    months.before_caps_amount,
    cast(months.rounded_amount as decimal(18, 2)) as rounded_amount,
    cast(steps.claim_amount as decimal(18, 2)) as claim_amount,
    months.rounded_amount > steps.claim_amount as is_capped,
    cast(steps.cumulative_claim_amount as decimal(18, 2)) as cumulative_claim_amount,
    steps.third_party_sold_amount,
    main.settled(steps.lifetime_cap_left_amount) as lifetime_cap_left_amount
from months
inner join steps
    on months.contract_id = steps.contract_id and months.point_no = steps.point_no and months.service_month = steps.service_month
