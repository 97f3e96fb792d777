with latest_backstops as (
    select
        contract_id,
        accounting_class
    from {{ ref('stg_backstop_terms') }}
    qualify row_number() over (partition by contract_id order by valid_from desc, recorded_at desc, amendment_id desc) = 1
)

select
    contracts.contract_id,
    contracts.vendor_id,
    contracts.operator_id,
    contracts.park_id,
    contracts.currency_code,
    contracts.minor_unit_digits,
    contracts.signed_date,
    contracts.service_commencement_date,
    contracts.expiry_date,
    coalesce(latest_backstops.accounting_class, 'none') as accounting_class,
    contracts.is_booked
from {{ ref('stg_contract') }} as contracts
left join latest_backstops on contracts.contract_id = latest_backstops.contract_id
