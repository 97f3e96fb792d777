-- What is the maximum undiscounted exposure by the vendor's fiscal year, beside its own table?
with ours as (
    select
        vendor_fiscal_year,
        currency_code,
        sum(max_exposure_amount) as max_exposure_amount
    from backstop.fct_max_exposure_fiscal_year
    where as_of_month = (select max(latest.as_of_month) from backstop.fct_max_exposure_fiscal_year as latest)
    group by vendor_fiscal_year, currency_code
),

filed as (
    select max_by(ai_cloud_commitments, fiscal_period_end) as filed_commitments_usd_m
    from issuer.fct_issuer_quarter
    where ai_cloud_commitments is not null
)

select
    ours.vendor_fiscal_year,
    ours.max_exposure_amount,
    ours.currency_code,
    filed.filed_commitments_usd_m
from ours
cross join filed
order by ours.vendor_fiscal_year
