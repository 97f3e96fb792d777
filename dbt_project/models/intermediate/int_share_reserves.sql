-- What the operator withholds of a month's invoice as a reserve, and when it is released: in full, so many months after the month.
with months as (
    select
        months.*,
        terms.reserve_fraction,
        terms.reserve_release_months,
        terms.statement_due_days,
        greatest(0, months.invoiced_amount - coalesce(true_ups.invoiced_amount, 0)) as billed_amount
    from {{ ref('int_share_months') }} as months
    inner join {{ ref('stg_share_terms') }} as terms
        on
            months.contract_id = terms.contract_id
            and months.share_id = terms.share_id
            and months.amendment_id = terms.amendment_id
            and terms.reserve_fraction > 0
    left join {{ ref('int_share_true_ups') }} as true_ups
        on
            months.contract_id = true_ups.contract_id
            and months.point_no = true_ups.point_no
            and months.share_id = true_ups.share_id
            and months.service_month = true_ups.service_month
)

select
    contract_id,
    point_no,
    share_id,
    service_month,
    amendment_id,
    currency_code,
    cast(billed_amount as decimal(18, 2)) as billed_amount,
    reserve_fraction,
    main.rounded_money(main.exact_product(billed_amount, reserve_fraction), minor_unit_digits) as reserved_amount,
    greatest(
        contractual_invoice_date, last_day(cast(service_month + to_months(reserve_release_months) as date)) + statement_due_days
    ) as invoice_date,
    payment_terms_days
from months
where billed_amount > 0
