-- The rates that translate a foreign component of one segment, or the revenue that a backstop guarantees: what to multiply by and to divide by
-- each day; their sum where the pair is quoted.
with share_needs as (
    select distinct
        entries.contract_id,
        entries.point_no,
        entries.share_id,
        entries.service_month,
        entries.segment_no,
        entries.component_currency_code as from_currency,
        segments.currency_code as to_currency,
        segments.fx_source,
        segments.fx_fix,
        -- A rate of a day that has not ended when the knowledge does is not seen: a close at midnight knows the day before.
        least(
            case when segments.fx_fix = 'invoice_date' then segments.contractual_invoice_date else last_day(segments.service_month) end,
            cast(timezone(segments.time_zone, segments.known_at - interval 1 microsecond) as date)
        ) as rate_date_limit
    from {{ ref('int_share_components') }} as entries
    inner join {{ ref('int_share_segments') }} as segments
        on
            entries.contract_id = segments.contract_id
            and entries.point_no = segments.point_no
            and entries.share_id = segments.share_id
            and entries.service_month = segments.service_month
            and entries.segment_no = segments.segment_no
    where entries.component_currency_code != segments.currency_code
),

-- The backstop's own rule, that of the month's last segment; as segment 0 it is none of the share's.
backstop_rules as (
    select
        contract_id,
        point_no,
        service_month,
        any_value(currency_code) as currency_code,
        any_value(time_zone) as time_zone,
        any_value(known_at) as known_at,
        arg_max(fx_source, from_date) as fx_source,
        arg_max(fx_fix, from_date) as fx_fix
    from {{ ref('int_backstop_segments') }}
    where settlement_type = 'revenue_shortfall'
    group by contract_id, point_no, service_month
),

backstop_needs as (
    select distinct
        revenue.contract_id,
        revenue.point_no,
        'backstop' as share_id,
        revenue.service_month,
        0 as segment_no,
        revenue.currency_code as from_currency,
        rules.currency_code as to_currency,
        rules.fx_source,
        rules.fx_fix,
        least(
            last_day(revenue.service_month), cast(timezone(rules.time_zone, rules.known_at - interval 1 microsecond) as date)
        ) as rate_date_limit
    from {{ ref('int_backstop_revenue') }} as revenue
    inner join backstop_rules as rules
        on
            revenue.contract_id = rules.contract_id
            and revenue.point_no = rules.point_no
            and revenue.service_month = rules.service_month
    where revenue.currency_code != rules.currency_code
),

needs as (
    select * from share_needs
    union all
    select * from backstop_needs
),

both_ways as (
    select
        from_currency,
        to_currency,
        rate_date,
        source,
        rate as multiplier,
        1 as divisor,
        'quoted' as route
    from {{ ref('stg_fx_rate') }}
    union all
    select
        to_currency as from_currency,
        from_currency as to_currency,
        rate_date,
        source,
        1 as multiplier,
        rate as divisor,
        'inverse' as route
    from {{ ref('stg_fx_rate') }}
),

pairs as (
    select distinct
        from_currency,
        to_currency,
        fx_source
    from needs
),

-- A source that quotes both currencies against a third, as the ECB does against the euro, gives the pair by way of it, on days that have both.
daily_rates as (
    select
        pairs.*,
        direct.rate_date,
        direct.source,
        cast(direct.multiplier as decimal(38, 18)) as multiplier,
        cast(direct.divisor as decimal(38, 18)) as divisor,
        direct.route
    from pairs
    inner join both_ways as direct on pairs.from_currency = direct.from_currency and pairs.to_currency = direct.to_currency
    union all
    select
        pairs.*,
        into_third.rate_date,
        into_third.source,
        cast(into_third.multiplier * out_of_third.multiplier as decimal(38, 18)) as multiplier,
        cast(into_third.divisor * out_of_third.divisor as decimal(38, 18)) as divisor,
        'through ' || into_third.to_currency as route
    from pairs
    inner join both_ways as into_third on pairs.from_currency = into_third.from_currency and pairs.to_currency != into_third.to_currency
    inner join both_ways as out_of_third
        on
            into_third.to_currency = out_of_third.from_currency
            and pairs.to_currency = out_of_third.to_currency
            and into_third.rate_date = out_of_third.rate_date
            and into_third.source = out_of_third.source
),

-- The source that the contract names, else the only one there is; the pair as it is quoted, else its inverse, else through a third currency.
quotes as (
    select
        from_currency,
        to_currency,
        fx_source,
        source,
        route,
        coalesce(lower(source) = lower(fx_source), false) as is_named_source
    from daily_rates
    group by from_currency, to_currency, fx_source, source, route
),

chosen_quotes as (
    select
        *,
        count(distinct source) over (partition by from_currency, to_currency, fx_source) as source_count
    from quotes
    qualify row_number() over (
        partition by from_currency, to_currency, fx_source
        order by
            is_named_source desc,
            case route when 'quoted' then 1 when 'inverse' then 2 when 'through EUR' then 3 else 4 end,
            route asc,
            source asc
    ) = 1
),

rates as (
    select
        needs.*,
        chosen_quotes.route,
        daily_rates.rate_date,
        daily_rates.multiplier,
        daily_rates.divisor
    from needs
    left join chosen_quotes
        on
            needs.from_currency = chosen_quotes.from_currency
            and needs.to_currency = chosen_quotes.to_currency
            and needs.fx_source is not distinct from chosen_quotes.fx_source
            and (chosen_quotes.is_named_source or chosen_quotes.source_count = 1)
    left join daily_rates
        on
            chosen_quotes.from_currency = daily_rates.from_currency
            and chosen_quotes.to_currency = daily_rates.to_currency
            and chosen_quotes.fx_source is not distinct from daily_rates.fx_source
            and chosen_quotes.source = daily_rates.source
            and chosen_quotes.route = daily_rates.route
            and needs.rate_date_limit >= daily_rates.rate_date
            and daily_rates.rate_date >= case
                when needs.fx_fix = 'average' then needs.service_month else needs.rate_date_limit - 7
            end
    -- An average takes every rate of the month, the others the last one.
    qualify
        needs.fx_fix = 'average'
        or row_number() over (
            partition by needs.contract_id, needs.point_no, needs.share_id, needs.service_month, needs.segment_no, needs.from_currency
            order by daily_rates.rate_date desc
        ) = 1
)

select
    contract_id,
    point_no,
    share_id,
    service_month,
    segment_no,
    from_currency,
    any_value(route) as route,
    case
        when count(multiplier) = 0
            then
                error(
                    'contract ' || contract_id || ': no rate from ' || from_currency || ' to ' || any_value(to_currency)
                    || ' (source ' || coalesce(any_value(fx_source), 'any') || ', fix ' || any_value(fx_fix) || ') for '
                    || strftime(service_month, '%Y-%m')
                    || '; add rates of this pair, or of both currencies against a third, to reference/fx.csv'
                )
        else count(multiplier)
    end as rate_count,
    cast(sum(multiplier) filter (where route = 'quoted') as decimal(38, 9)) as rate_sum,
    list(struct_pack(multiplier := multiplier, divisor := divisor) order by rate_date) as rates
from rates
group by contract_id, point_no, share_id, service_month, segment_no, from_currency
