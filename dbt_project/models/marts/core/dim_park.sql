select
    park_id,
    park_name,
    operator_id,
    country_code,
    time_zone,
    currency_code,
    it_power_mw,
    telemetry_interval_seconds,
    pue_min,
    pue_max,
    is_simulated
from {{ ref('stg_park') }}
