-- The rates that translate a foreign component of one segment: what they add up to and how many they are, or one by one where inverse.
with needs as (
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

both_ways as (
    select
        from_currency,
        to_currency,
        rate_date,
        rate,
        source,
        false as is_inverse
    from {{ ref('stg_fx_rate') }}
    union all
    select
        to_currency as from_currency,
        from_currency as to_currency,
        rate_date,
        rate,
        source,
        true as is_inverse
    from {{ ref('stg_fx_rate') }}
),

pairs as (
    select distinct
        from_currency,
        to_currency,
        fx_source
    from needs
),

-- The source that the contract names, else the only one there is; the pair as it is quoted, else its inverse.
quotes as (
    select
        pairs.from_currency,
        pairs.to_currency,
        pairs.fx_source,
        both_ways.source,
        both_ways.is_inverse,
        coalesce(lower(both_ways.source) = lower(pairs.fx_source), false) as is_named_source
    from pairs
    inner join both_ways on pairs.from_currency = both_ways.from_currency and pairs.to_currency = both_ways.to_currency
    group by all
),

chosen_quotes as (
    select
        *,
        count(distinct source) over (partition by from_currency, to_currency, fx_source) as source_count
    from quotes
    qualify row_number() over (
        partition by from_currency, to_currency, fx_source order by is_named_source desc, is_inverse asc, source asc
    ) = 1
),

rates as (
    select
        needs.*,
        chosen_quotes.is_inverse,
        both_ways.rate_date,
        both_ways.rate
    from needs
    left join chosen_quotes
        on
            needs.from_currency = chosen_quotes.from_currency
            and needs.to_currency = chosen_quotes.to_currency
            and needs.fx_source is not distinct from chosen_quotes.fx_source
            and (chosen_quotes.is_named_source or chosen_quotes.source_count = 1)
    left join both_ways
        on
            chosen_quotes.from_currency = both_ways.from_currency
            and chosen_quotes.to_currency = both_ways.to_currency
            and chosen_quotes.source = both_ways.source
            and chosen_quotes.is_inverse = both_ways.is_inverse
            and needs.rate_date_limit >= both_ways.rate_date
            and both_ways.rate_date >= case
                when needs.fx_fix = 'average' then needs.service_month else needs.rate_date_limit - 7
            end
    -- An average takes every rate of the month, the others the last one.
    qualify
        needs.fx_fix = 'average'
        or row_number() over (
            partition by needs.contract_id, needs.point_no, needs.share_id, needs.service_month, needs.segment_no, needs.from_currency
            order by both_ways.rate_date desc
        ) = 1
)

select
    contract_id,
    point_no,
    share_id,
    service_month,
    segment_no,
    from_currency,
    bool_or(is_inverse) as is_inverse,
    case
        when count(rate) = 0
            then
                error(
                    'contract ' || contract_id || ': no rate from ' || from_currency || ' to ' || any_value(to_currency)
                    || ' (source ' || coalesce(any_value(fx_source), 'any') || ', fix ' || any_value(fx_fix) || ') for '
                    || strftime(service_month, '%Y-%m')
                )
        else count(rate)
    end as rate_count,
    sum(rate) as rate_sum,
    list(rate order by rate_date) as rates
from rates
group by contract_id, point_no, share_id, service_month, segment_no, from_currency
