-- Each block is rounded and laid over its leases by itself; a lease's parts are then added.
select
    contract_id,
    service_month,
    lease_id,
    cast(sum(share_amount) as decimal(18, 2)) as share_amount,
    any_value(currency_code) as currency_code
from {{ ref('int_share_lines') }}
group by contract_id, service_month, lease_id
having sum(share_amount) != 0
