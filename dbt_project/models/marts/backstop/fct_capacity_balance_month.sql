-- What is left over is other_unsold, so that the uses add up to what is installed, to the last digit; it is negative only where more is leased
-- than installed, which fct_metering_exceptions shows.
with balances as (
    select
        tranche_id,
        service_month,
        contract_id,
        third_party_gpu_hours as third_party,
        vendor_use_gpu_hours as vendor_use,
        bought_back_gpu_hours as bought_back,
        excluded_gpu_hours as excluded,
        deductible_gpu_hours as deductible,
        cast(
            installed_gpu_hours - third_party_gpu_hours - vendor_use_gpu_hours - bought_back_gpu_hours - excluded_gpu_hours
            - deductible_gpu_hours as decimal(28, 9)
        ) as other_unsold
    from {{ ref('fct_backstop_month') }}
)

unpivot balances
on third_party, vendor_use, bought_back, excluded, deductible, other_unsold
into name use value gpu_hours
