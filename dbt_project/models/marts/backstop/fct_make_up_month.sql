-- Hours that the vendor bought and has not used may be made up for a time: the vendor's own use draws on the oldest first. Nothing else is reduced.
with recursive
months as (
    select
        months.contract_id,
        months.service_month,
        sum(months.bought_back_gpu_hours) as bought_back_gpu_hours,
        sum(months.vendor_use_gpu_hours) as vendor_use_gpu_hours,
        max(terms.make_up_window_months) as window_months,
        cast(row_number() over (partition by months.contract_id order by months.service_month) as integer) as month_no
    from {{ ref('fct_backstop_month') }} as months
    inner join {{ ref('stg_backstop_terms') }} as terms
        on months.contract_id = terms.contract_id and months.terms_version = terms.amendment_id
    where months.contract_id in (
        select with_make_up.contract_id
        from {{ ref('stg_backstop_terms') }} as with_make_up
        where with_make_up.make_up_window_months is not null
    )
    group by months.contract_id, months.service_month
),

-- Lots are what is left of each month's purchase, oldest first.
steps as (
    select
        contract_id,
        0 as month_no,
        cast([] as struct(expires_month date, gpu_hours decimal(38, 12))[]) as lots,
        0::decimal(38, 12) as opening_gpu_hours,
        0::decimal(38, 12) as used_gpu_hours,
        0::decimal(38, 12) as expired_gpu_hours
    from months
    where month_no = 1
    union all
    (
        with drawn as (
            select
                months.*,
                steps.lots,
                cast(coalesce(list_sum(list_transform(steps.lots, lambda lot: lot.gpu_hours)), 0) as decimal(38, 12)) as opening_gpu_hours
            from steps
            inner join months on steps.contract_id = months.contract_id and steps.month_no + 1 = months.month_no
        ),

        used as (
            select
                * exclude (lots),
                main.lots_after(lots, vendor_use_gpu_hours) as lots
            from drawn
        ),

        expired as (
            select
                * exclude (lots),
                list_filter(lots, lambda lot: lot.gpu_hours > 0 and lot.expires_month > service_month) as lots,
                cast(least(opening_gpu_hours, vendor_use_gpu_hours) as decimal(38, 12)) as used_gpu_hours,
                cast(coalesce(list_sum(list_transform(
                    list_filter(lots, lambda lot: lot.expires_month <= service_month), lambda lot: lot.gpu_hours
                )), 0) as decimal(38, 12)) as expired_gpu_hours
            from used
        )

        select
            contract_id,
            month_no,
            list_concat(lots, case
                when window_months is null or bought_back_gpu_hours = 0 then []
                else [struct_pack(
                    expires_month := cast(service_month + to_months(window_months) as date),
                    gpu_hours := cast(bought_back_gpu_hours as decimal(38, 12))
                )]
            end) as lots,
            opening_gpu_hours,
            used_gpu_hours,
            expired_gpu_hours
        from expired
    )
)

select
    months.contract_id,
    months.service_month,
    steps.opening_gpu_hours,
    cast(case when months.window_months is null then 0 else months.bought_back_gpu_hours end as decimal(38, 12)) as bought_back_gpu_hours,
    steps.used_gpu_hours,
    steps.expired_gpu_hours,
    cast(coalesce(list_sum(list_transform(steps.lots, lambda lot: lot.gpu_hours)), 0) as decimal(38, 12)) as closing_gpu_hours
from months
inner join steps on months.contract_id = steps.contract_id and months.month_no = steps.month_no
