-- True-ups that fall due by themselves or bear interest: what is billed apart from the month that closes the year, when it is due, and the interest.
with true_ups as (
    select
        months.contract_id,
        months.point_no,
        months.share_id,
        months.service_month,
        months.amendment_id,
        months.currency_code,
        months.minor_unit_digits,
        terms.true_up_due_days,
        terms.true_up_interest,
        terms.late_rate,
        segments.year_from_date,
        -- What a lifetime cap cuts, it cuts of the true-up first: the month was earned before.
        case
            when months.true_up_amount > 0
                then greatest(0, months.limited_share_amount - months.period_capped_amount + months.true_up_offset_amount)
            else months.true_up_amount
        end as kept_amount,
        case when terms.gross_up and months.withholding_tax_rate > 0 then 1 - months.withholding_tax_rate else 1 end as net_fraction,
        case
            when terms.true_up_due_days is null then months.contractual_invoice_date + months.payment_terms_days
            else last_day(months.service_month) + terms.true_up_due_days
        end as due_date
    from {{ ref('int_share_months') }} as months
    inner join {{ ref('stg_share_terms') }} as terms
        on
            months.contract_id = terms.contract_id
            and months.share_id = terms.share_id
            and months.amendment_id = terms.amendment_id
    inner join (
        select distinct
            known_months.contract_id,
            known_months.point_no,
            segments.share_id,
            known_months.service_month,
            segments.amendment_id,
            {{ share_year_from('segments') }} as year_from_date
        from {{ ref('int_known_months') }} as known_months
        inner join {{ ref('int_share_segments') }} as segments
            on
                known_months.contract_id = segments.contract_id
                and known_months.state_point_no = segments.point_no
                and known_months.service_month = segments.service_month
        where (segments.contract_id, segments.share_id) in (
            select (agreed.contract_id, agreed.share_id)
            from {{ ref('stg_share_terms') }} as agreed
            where agreed.true_up_due_days is not null or agreed.true_up_interest
        )
    ) as segments
        on
            months.contract_id = segments.contract_id
            and months.point_no = segments.point_no
            and months.share_id = segments.share_id
            and months.service_month = segments.service_month
            and months.amendment_id = segments.amendment_id
    where months.true_up_amount != 0 and (terms.true_up_due_days is not null or terms.true_up_interest)
),

-- As if it had been earned evenly over the year: each month's part from the day on which that month was due.
waits as (
    select
        true_ups.contract_id,
        true_ups.point_no,
        true_ups.share_id,
        true_ups.service_month,
        count(*) as month_count,
        sum(greatest(0, true_ups.due_date - (months.contractual_invoice_date + months.payment_terms_days))) as day_count
    from true_ups
    inner join {{ ref('int_share_months') }} as months
        on
            true_ups.contract_id = months.contract_id
            and true_ups.point_no = months.point_no
            and true_ups.share_id = months.share_id
            and months.service_month between true_ups.year_from_date and true_ups.service_month
    group by true_ups.contract_id, true_ups.point_no, true_ups.share_id, true_ups.service_month
)

select
    true_ups.contract_id,
    true_ups.point_no,
    true_ups.share_id,
    true_ups.service_month,
    true_ups.amendment_id,
    true_ups.currency_code,
    cast(true_ups.kept_amount as decimal(38, 18)) as kept_amount,
    case
        when true_ups.true_up_due_days is null then 0
        else main.rounded_money(main.exact_ratio(true_ups.kept_amount, 1, true_ups.net_fraction), true_ups.minor_unit_digits)
    end as invoiced_amount,
    true_ups.due_date,
    cast(waits.month_count as integer) as month_count,
    cast(waits.day_count as integer) as day_count,
    case
        when true_ups.true_up_interest
            then main.rounded_money(
                main.exact_ratio(
                    main.exact_product(true_ups.kept_amount, true_ups.late_rate), waits.day_count, waits.month_count * 365
                ),
                true_ups.minor_unit_digits
            )
        else 0
    end as interest_amount
from true_ups
inner join waits
    on
        true_ups.contract_id = waits.contract_id
        and true_ups.point_no = waits.point_no
        and true_ups.share_id = waits.share_id
        and true_ups.service_month = waits.service_month
