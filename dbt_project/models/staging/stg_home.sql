select
    title,
    as_of_date,
    clock_at,
    reporting_currency_code,
    is_simulated,
    simulation_note
from {{ source('raw', 'home') }}
