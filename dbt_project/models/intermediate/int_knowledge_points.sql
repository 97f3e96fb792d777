with last_closes as (
    select *
    from {{ ref('int_closes') }}
    qualify row_number() over (partition by contract_id order by close_no desc) = 1
),

-- What is known now belongs to no close where the last ended month has closed already: a point of its own, never posted.
clock_points as (
    select
        last_closes.* exclude (known_at, closed_by, is_provisional, is_sealed, close_no),
        stg_home.clock_at as known_at,
        last_closes.close_no + 1 as point_no,
        false as is_posted,
        true as is_provisional,
        false as is_sealed
    from last_closes
    cross join {{ ref('stg_home') }} as stg_home
    where not last_closes.is_provisional and last_closes.known_at < stg_home.clock_at
),

close_points as (
    select
        closes.* exclude (closed_by, is_provisional, close_no),
        closes.close_no as point_no,
        true as is_posted,
        closes.is_provisional
    from {{ ref('int_closes') }} as closes
),

points as (
    select * from close_points
    union all by name
    select * from clock_points
)

select
    contract_id,
    park_id,
    currency_code,
    time_zone,
    point_no,
    posting_month,
    month_end_date,
    known_at,
    is_posted,
    is_provisional,
    is_sealed,
    reopening_no,
    point_no = max(point_no) over (partition by contract_id) as is_clock
from points
