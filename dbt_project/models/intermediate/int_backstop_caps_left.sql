-- What is left of a contract's lifetime cap at the end of each ended month, on today's knowledge. Time wears a cap down in months, too, in which no
-- tranche is in force; before the backstop begins the cap is whole.
with clock_points as (
    select *
    from {{ ref('int_knowledge_points') }}
    where is_clock
),

price_index_levels as (
    {{ price_index_levels('clock_points', 'point_no', 'clock_points.known_at') }}
),

months as (
    select
        closes.contract_id,
        clock_points.point_no,
        closes.posting_month as service_month,
        closes.month_end_date
    from {{ ref('int_closes') }} as closes
    inner join clock_points on closes.contract_id = clock_points.contract_id
),

-- The terms of the month's last day; after the last of them, the last.
month_terms as (
    select
        months.*,
        terms.service_commencement_date,
        least(backstop_terms.expiry_date, terms.contract_expiry_date) as expiry_date,
        cast(main.indexed(
            backstop_terms.lifetime_cap_amount, levels.levels, terms.service_commencement_date, months.service_month
        ) as decimal(18, 2)) as lifetime_cap_amount,
        backstop_terms.lifetime_cap_reduces_with,
        terms.from_date is not null as has_begun
    from months
    left join {{ ref('int_terms_in_force') }} as terms
        on
            months.contract_id = terms.contract_id
            and months.point_no = terms.point_no
            and terms.instrument = 'backstop'
            and months.month_end_date >= terms.from_date
    inner join {{ ref('stg_backstop_terms') }} as backstop_terms
        on
            months.contract_id = backstop_terms.contract_id
            and (terms.amendment_id = backstop_terms.amendment_id or terms.amendment_id is null)
    left join price_index_levels as levels
        on
            months.contract_id = levels.contract_id
            and months.point_no = levels.point_no
            and backstop_terms.lifetime_cap_index_id = levels.index_id
    qualify row_number() over (
        partition by months.contract_id, months.service_month
        order by terms.from_date desc, case when terms.from_date is null then backstop_terms.valid_from end
    ) = 1
),

claims as (
    select
        months.contract_id,
        months.service_month,
        max(claims.cumulative_claim_amount) as cumulative_claim_amount,
        max(claims.third_party_sold_amount) as third_party_sold_amount,
        arg_max_null(claims.lifetime_cap_left_amount, claims.service_month) as lifetime_cap_left_amount,
        max(claims.service_month) as last_month
    from months
    left join {{ ref('int_backstop_months') }} as claims
        on
            months.contract_id = claims.contract_id
            and months.point_no = claims.point_no
            and months.service_month >= claims.service_month
    group by months.contract_id, months.service_month
),

-- What ends the backstop at the vendor's cost is paid under the same cap.
ended as (
    select
        months.contract_id,
        months.service_month,
        sum(dues.due_amount) as termination_amount
    from months
    inner join {{ ref('int_backstop_dues') }} as dues
        on months.contract_id = dues.contract_id and months.point_no = dues.point_no and months.service_month >= dues.service_month
    where dues.event = 'termination_cost'
    group by months.contract_id, months.service_month
),

caps as (
    select
        month_terms.contract_id,
        month_terms.service_month,
        cast(coalesce(claims.cumulative_claim_amount, 0) as decimal(18, 2)) as cumulative_claim_amount,
        coalesce(ended.termination_amount, 0) as termination_amount,
        case
            when claims.last_month = month_terms.service_month then claims.lifetime_cap_left_amount
            when month_terms.lifetime_cap_amount is not null
                then
                    month_terms.lifetime_cap_amount - coalesce(claims.cumulative_claim_amount, 0)
                    - case
                        when list_contains(month_terms.lifetime_cap_reduces_with, 'third_party_sale')
                            then coalesce(claims.third_party_sold_amount, 0)
                        else 0
                    end
                    - case
                        when month_terms.has_begun and list_contains(month_terms.lifetime_cap_reduces_with, 'time')
                            then {{ worn_by_time('month_terms', 'month_terms.month_end_date', 'month_terms.expiry_date') }}
                        else 0
                    end
        end as uncut_amount
    from month_terms
    inner join claims on month_terms.contract_id = claims.contract_id and month_terms.service_month = claims.service_month
    left join ended on month_terms.contract_id = ended.contract_id and month_terms.service_month = ended.service_month
)

-- Null where there is no lifetime cap.
select
    contract_id,
    service_month,
    cumulative_claim_amount,
    cast(case when uncut_amount is not null then greatest(0, uncut_amount - termination_amount) end as decimal(38, 12)) as lifetime_cap_left_amount
from caps
