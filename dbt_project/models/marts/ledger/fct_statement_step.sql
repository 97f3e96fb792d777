{{ config(
    materialized='incremental',
    incremental_strategy='known_statements',
    on_schema_change='append_new_columns',
    post_hook="{{ keep_statements() }}"
) }}

-- Every step from what was billed, or from what stood unsold, to the amount due; as known at each close, where it differs from the one before.
-- What a sealed close stated is what was kept of it.
with points as (
    select
        contract_id,
        point_no,
        month_end_date,
        known_at,
        currency_code,
        posting_month,
        is_posted and (contract_id, posting_month) in (
            select (sealed.contract_id, sealed.posting_month)
            from {{ source('raw', 'sealed_close') }} as sealed
            where sealed.has_steps
        ) and is_sealed as has_kept_steps
    from {{ ref('int_knowledge_points') }}
),

built_points as (
    select points.*
    from points
    {{ statements_to_build('points') }}
),

-- A point says what it knows otherwise than the one before; the first after those whose steps were kept says all, for it may differ from these.
all_stated as (
    select
        months.contract_id,
        months.point_no,
        months.service_month,
        months.state_point_no
    from {{ ref('int_known_months') }} as months
    inner join (
        select
            *,
            coalesce(lag(has_kept_steps) over (partition by contract_id order by point_no), false) as follows_kept_steps
        from points
    ) as points
        on months.contract_id = points.contract_id and months.point_no = points.point_no
    where not points.has_kept_steps and (points.follows_kept_steps or months.point_no = months.state_point_no)
),

-- Months that a statement to be built is of: what it says otherwise is a difference from what was said of them before.
touched_months as (
    select
        all_stated.contract_id,
        all_stated.service_month
    from all_stated
    inner join built_points on all_stated.contract_id = built_points.contract_id and all_stated.point_no = built_points.point_no
    union
    select
        kept.contract_id,
        kept.service_month
    from {{ source('raw', 'sealed_step') }} as kept
    inner join built_points
        on kept.contract_id = built_points.contract_id and kept.posting_month = built_points.posting_month and built_points.has_kept_steps
),

stated as (
    select all_stated.*
    from all_stated
    semi join touched_months on all_stated.contract_id = touched_months.contract_id and all_stated.service_month = touched_months.service_month
),

statements as (
    select
        steps.contract_id,
        steps.statement,
        steps.service_month,
        stated.point_no,
        list(struct_pack(
            section_no := cast(steps.section_no as integer),
            part_id := steps.part_id,
            tier_no := cast(case when steps.step = 'tier' then steps.place end as integer),
            step := steps.step,
            gpu_hours := cast(steps.gpu_hours as decimal(28, 9)),
            of_amount := main.settled(steps.of_amount),
            rate := cast(steps.rate as decimal(18, 9)),
            amount := main.settled(steps.amount),
            term := steps.term
        ) order by steps.section_no, case when steps.section_no >= 4 then steps.place end, steps.part_id, steps.place, steps.step) as steps
    from {{ ref('int_statement_steps') }} as steps
    inner join stated
        on
            steps.contract_id = stated.contract_id
            and steps.point_no = stated.state_point_no
            and steps.service_month = stated.service_month
    group by steps.contract_id, steps.statement, steps.service_month, stated.point_no
    union all
    select
        kept.contract_id,
        kept.statement,
        kept.service_month,
        points.point_no,
        list(struct_pack(
            section_no := kept.section_no,
            part_id := kept.part_id,
            tier_no := kept.tier_no,
            step := kept.step,
            gpu_hours := kept.gpu_hours,
            of_amount := kept.of_amount,
            rate := kept.rate,
            amount := kept.amount,
            term := kept.term
        ) order by kept.step_no) as steps
    from {{ source('raw', 'sealed_step') }} as kept
    inner join points on kept.contract_id = points.contract_id and kept.posting_month = points.posting_month and points.has_kept_steps
    semi join touched_months on kept.contract_id = touched_months.contract_id and kept.service_month = touched_months.service_month
    group by kept.contract_id, kept.statement, kept.service_month, points.point_no
),

-- Other terms that come to the same are no change.
figures as (
    select
        *,
        list_transform(steps, lambda one: struct_pack(
            part_id := one.part_id, step := one.step, gpu_hours := one.gpu_hours, of_amount := one.of_amount, rate := one.rate, amount := one.amount
        )) as figures
    from statements
),

changed as (
    select *
    from figures
    qualify figures is distinct from lag(figures) over (partition by contract_id, statement, service_month order by point_no)
),

numbered as (
    select
        contract_id,
        statement,
        service_month,
        point_no,
        unnest(steps) as one,
        cast(generate_subscripts(steps, 1) as integer) as step_no
    from changed
)

select
    numbered.contract_id,
    numbered.statement,
    numbered.service_month,
    points.known_at,
    numbered.step_no,
    numbered.one.section_no,
    numbered.one.part_id,
    numbered.one.tier_no,
    numbered.one.step,
    numbered.one.gpu_hours,
    numbered.one.of_amount,
    numbered.one.rate,
    numbered.one.amount,
    points.currency_code,
    numbered.one.term
from numbered
inner join built_points as points on numbered.contract_id = points.contract_id and numbered.point_no = points.point_no
