{#
    The partitions of telemetry (park, service date) whose rows in int_gpu_hours__by_tranche_hour are out of date, with the files to read.

    A partition is named by a fingerprint of all that its rows depend on: the version of this model's arithmetic, its files and how they were read, the
    closes that fall between the first and the last recorded_at in them (they split what was known), the park's sampling interval and, where a file holds
    XID codes, the list of fatal ones. A partition is pending when the relation that stands holds no row with its fingerprint.

    Returns a list of dicts: park_id, service_date, fingerprint, way, interval_seconds, max_recorded_at (text), splits (list of instants as text),
    is_one_gpu_a_row, has_xid_codes, files (list of dicts: path, layout, clock_shift_seconds, tranche_id, recorded_at, day_count). `way` is
    single (each row is a GPU's hour: all samples lie at one moment of the hour), clean (no key repeats, and nothing splits what was known) or dirty.
    Empty outside execution.
#}
{% macro pending_telemetry_partitions(standing) %}
    {%- if not execute -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set partitions = [] -%}
    {%- for row in run_query(adapter.dispatch('pending_telemetry_query')(standing)).rows -%}
        {%- do partitions.append({
            'park_id': row[0], 'service_date': row[1], 'fingerprint': row[2], 'way': row[3], 'interval_seconds': row[4],
            'max_recorded_at': row[5], 'splits': fromjson(row[6]), 'is_one_gpu_a_row': row[7], 'has_xid_codes': row[8], 'files': fromjson(row[9])
        }) -%}
    {%- endfor -%}
    {{ return(partitions) }}
{% endmacro %}

{# Spark is told which partitions are pending: the catalogue and what stands are DuckDB's. #}
{% macro spark__pending_telemetry_query(standing) -%}
select * from {{ handed_over('telemetry_partition') }} order by park_id, service_date
{%- endmacro %}

{% macro default__pending_telemetry_query(standing) %}
with clock as (
    select clock_at from {{ ref('stg_home') }}
),
lake_files as (
    select
        *,
        count(*) over (partition by park_id, file_id) as day_count
    from {{ ref('stg_lake_file') }}
    where feed = 'gpu_telemetry'
),
partitions as (
    select
        files.park_id,
        files.service_date,
        list(
            {
                'path': files.path, 'layout': files.layout, 'clock_shift_seconds': files.clock_shift_seconds, 'tranche_id': files.tranche_id,
                'recorded_at': case when files.min_recorded_at = files.max_recorded_at then cast(files.min_recorded_at as varchar) end,
                'day_count': files.day_count
            } order by files.file_id
        ) as files,
        string_agg(files.file_id || files.reading_hash || files.row_count, ',' order by files.file_id) as file_ids,
        min(files.min_recorded_at) as min_recorded_at,
        max(files.max_recorded_at) as max_recorded_at,
        sum(files.row_count) = sum(files.landed_count) as has_single_keys,
        count(files.microsecond_of_hour) = count(*) and min(files.microsecond_of_hour) = max(files.microsecond_of_hour) as has_single_samples,
        bool_and(files.is_one_gpu_a_row) as is_one_gpu_a_row,
        bool_or(files.has_xid_codes) as has_xid_codes,
        any_value(parks.telemetry_interval_seconds) as interval_seconds
    from lake_files as files
    inner join {{ ref('stg_park') }} as parks on files.park_id = parks.park_id
    group by files.park_id, files.service_date
),
instants as (
    select park_id, known_at from {{ ref('int_knowledge_points') }}
    union
    select parks.park_id, clock.clock_at from {{ ref('stg_park') }} as parks cross join clock
),
splits as (
    select
        partitions.park_id,
        partitions.service_date,
        list(cast(instants.known_at as varchar) order by instants.known_at) as splits
    from partitions
    inner join instants
        on
            partitions.park_id = instants.park_id
            and partitions.min_recorded_at <= instants.known_at
            and partitions.max_recorded_at > instants.known_at
    group by partitions.park_id, partitions.service_date
),
wanted as (
    select
        partitions.*,
        coalesce(splits.splits, []) as splits,
        md5(concat_ws(
            '|', 'microjoule', partitions.file_ids, array_to_string(coalesce(splits.splits, []), ','), partitions.interval_seconds,
            case when partitions.has_xid_codes then (select value_text from {{ ref('stg_policy') }} where policy = 'fatal_xid_codes') end
        )) as fingerprint
    from partitions
    left join splits on partitions.park_id = splits.park_id and partitions.service_date = splits.service_date
)
select
    wanted.park_id,
    cast(wanted.service_date as varchar) as service_date,
    wanted.fingerprint,
    case when not wanted.has_single_keys or len(wanted.splits) > 0 then 'dirty' when wanted.has_single_samples then 'single' else 'clean' end as way,
    wanted.interval_seconds,
    cast(wanted.max_recorded_at as varchar) as max_recorded_at,
    cast(to_json(wanted.splits) as varchar) as splits,
    wanted.is_one_gpu_a_row,
    wanted.has_xid_codes,
    cast(to_json(wanted.files) as varchar) as files
from wanted
{%- if standing %}
anti join (select distinct park_id, service_date, partition_fingerprint from {{ standing }}) as done
    on wanted.park_id = done.park_id and wanted.service_date = done.service_date and wanted.fingerprint = done.partition_fingerprint
{%- endif %}
order by wanted.park_id, wanted.service_date
{% endmacro %}

{# Paths in the catalogue are relative to the home, which is the folder of the warehouse file unless the lake stands elsewhere, as on an object store. #}
{% macro lake_folder() -%}
    {%- set warehouse = env_var('PARKLEDGER_WAREHOUSE') -%}
    {{ env_var('PARKLEDGER_LAKE_URL', '') or (warehouse.rsplit('/', 1)[0] if '/' in warehouse else '.') }}
{%- endmacro %}

{#
    The files of the given partitions that can be read together: those of one park, layout, clock, tranche and, where `by_recorded_at`, landing time.
    A delivered file holds many days; `is_part` says that some of them are not among the partitions.
    Returns a list of dicts: park_id, layout, clock_shift_seconds, tranche_id, recorded_at, is_rewritten, paths, first_date, last_date, is_part.
#}
{% macro telemetry_branches(partitions, by_recorded_at) %}
    {%- set branches, days_of_paths = {}, {} -%}
    {%- for partition in partitions -%}
        {%- for file in partition.files -%}
            {%- do days_of_paths.update({file.path: days_of_paths.get(file.path, 0) + 1}) -%}
            {%- set recorded_at = file.recorded_at if by_recorded_at else none -%}
            {%- set name = [partition.park_id, file.layout, file.clock_shift_seconds, file.tranche_id, recorded_at] | string -%}
            {%- if name not in branches -%}
                {%- do branches.update({name: {
                    'park_id': partition.park_id, 'layout': file.layout, 'clock_shift_seconds': file.clock_shift_seconds,
                    'tranche_id': file.tranche_id, 'recorded_at': recorded_at, 'is_rewritten': file.layout == 'telemetry_rewritten', 'files': {},
                    'first_date': partition.service_date
                }}) -%}
            {%- endif -%}
            {%- do branches[name].files.update({file.path: file.day_count}) -%}
            {%- do branches[name].update({'last_date': partition.service_date}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for branch in branches.values() -%}
        {%- set partly = [] -%}
        {%- for path, day_count in branch.files.items() if day_count > days_of_paths[path] -%}{%- do partly.append(path) -%}{%- endfor -%}
        {%- do branch.update({'paths': branch.files.keys() | list, 'is_part': partly | length > 0}) -%}
    {%- endfor -%}
    {{ return(branches.values() | list) }}
{% endmacro %}

{#
    The rows of the given partitions' files, read through the table macros that landing makes for each layout: park_id, tranche_id, gpu_id, sampled_at,
    interval_start_at, measurements, and what `with_history` adds (recorded_at, content, file_id, line_no). Delivered files give rows of other days, too:
    who reads them joins the days that are wanted.
#}
{% macro telemetry_rows(partitions, with_history) -%}
    {%- for branch in telemetry_branches(partitions, with_history) %}
    select
        '{{ branch.park_id }}' as park_id,
        {% if branch.tranche_id is not none %}'{{ branch.tranche_id }}'{% elif branch.is_rewritten %}rows.tranche_id{% else %}nodes.tranche_id{% endif %} as tranche_id,
        rows.gpu_id,
        rows.sampled_at,
        rows.interval_start_at,
        rows.utilization_milli_pct,
        rows.power_microwatt,
        rows.gpu_count,
        rows.xid_code
        {%- if with_history %},
        rows.recorded_at,
        rows.content,
        rows.file_id,
        rows.line_no
        {%- endif %}
    from {{ telemetry_files(branch) }} as rows
    {%- if branch.tranche_id is none and not branch.is_rewritten %}
    inner join {{ ref('stg_lake_node') }} as nodes on rows.node_id = nodes.node_id and nodes.park_id = '{{ branch.park_id }}'
    {%- endif %}
    {%- if branch.is_part %}
    where
        rows.sampled_at >= {{ instant(branch.first_date ~ ' 00:00:00+00') }} - interval 1 day
        and rows.sampled_at < {{ instant(branch.last_date ~ ' 00:00:00+00') }} + interval 2 days
    {%- endif %}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#
    The aggregates of one GPU and hour that gpu_hours_of_tranches() reads. Sums of utilisation in one GPU-hour fit 64 bits with room to
    spare (3,600 samples × 100,000 milli-percent × 10 million GPUs); sums of power do not (× 5,000 W in microwatts) and stay HUGEINT.
    Where all files say that a row stands for one GPU, or that none holds an XID, the sums are counts and the codes are not looked at.
#}
{% macro gpu_hour_aggregates(partitions) -%}
{%- set by_gpu_count = partitions | rejectattr('is_one_gpu_a_row') | list -%}
{%- set has_xid_codes = partitions | selectattr('has_xid_codes') | list -%}
count(*) as sample_count,
        {% if by_gpu_count -%}
        cast(sum(gpu_count) as bigint) as gpu_sum,
        cast(sum(utilization_milli_pct * cast(gpu_count as bigint)) as bigint) as utilization_sum,
        cast(sum(gpu_count) filter (where utilization_milli_pct is not null) as bigint) as utilization_gpu_sum,
        {{ wide_sum('power_microwatt * gpu_count') }} as power_sum,
        cast(sum(gpu_count) filter (where power_microwatt is not null) as bigint) as power_gpu_sum,
        {%- else -%}
        count(*) as gpu_sum,
        cast(sum(utilization_milli_pct) as bigint) as utilization_sum,
        count(utilization_milli_pct) as utilization_gpu_sum,
        sum(power_microwatt) as power_sum,
        count(power_microwatt) as power_gpu_sum,
        {%- endif %}
        {{ 'coalesce(bool_or(' ~ is_fatal_xid() ~ '), false)' if has_xid_codes else 'false' }} as has_fatal_xid
{%- endmacro %}

{# Whether a sample's XID is in the policy's list of fatal codes. #}
{% macro is_fatal_xid() -%}
    {%- if execute -%}
        {%- set found = run_query("select value_text from " ~ ref('stg_policy') ~ " where policy = 'fatal_xid_codes'").rows -%}
        {%- set codes = fromjson(found[0][0]) if found | length else [] -%}
        {%- if codes -%}
            xid_code in ({% for code in codes %}{{ code | int }}{{ ', ' if not loop.last }}{% endfor %})
        {%- else -%}
            false
        {%- endif -%}
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro %}

{#
    A mean over samples × seconds observed × GPUs, from the sums of one GPU-hour, to the nearest whole unit. Where every sample has a value and
    the hour is not over-full this is simply sum × interval, without a division.
#}
{% macro observed_total(value_sum, value_gpu_sum) -%}
case
            when {{ value_gpu_sum }} = gpu_sum and sample_count * interval_seconds <= 3600 then {{ value_sum }} * interval_seconds
            else {{ nearest_quotient(
                'cast(' ~ value_sum ~ ' as ' ~ wide_type() ~ ') * gpu_sum * least(3600, sample_count * interval_seconds)',
                'cast(' ~ value_gpu_sum ~ ' as ' ~ wide_type() ~ ') * sample_count'
            ) }}
        end
{%- endmacro %}

{# GPUs that a GPU-hour stands for, in thousandths: the mean of its samples' counts, since a rack may be read with a changing count. #}
{% macro milli_gpus() -%}
case
            when gpu_sum % sample_count = 0 then {{ whole_quotient('gpu_sum', 'sample_count') }} * 1000
            else cast({{ nearest_quotient('cast(gpu_sum as ' ~ wide_type() ~ ') * 1000', 'cast(sample_count as ' ~ wide_type() ~ ')') }} as bigint)
        end
{%- endmacro %}

{# The time that a GPU-hour's samples stand for, in GPU-milliseconds. #}
{% macro observed_milliseconds() -%}
case
            when sample_count * interval_seconds <= 3600 then gpu_sum * interval_seconds * 1000
            else cast(
                {{ nearest_quotient('cast(gpu_sum as ' ~ wide_type() ~ ') * 3600000', 'cast(sample_count as ' ~ wide_type() ~ ')') }} as bigint
            )
        end
{%- endmacro %}

{#
    From GPU-hours to tranche-hours, in whole numbers:
    observed seconds = min(3600, samples × interval) × GPUs; busy = mean utilisation × observed seconds, in units of 1e-5 second
    (milli-percent × second); energy = mean power × observed seconds, in microjoule; each GPU-hour is divided at most once.
#}
{% macro gpu_hours_of_tranches(relation) -%}
select
        park_id,
        service_date,
        tranche_id,
        interval_start_at,
        known_from_at,
        any_value(fingerprint) as partition_fingerprint,
        cast(sum(sample_count) as bigint) as sample_count,
        cast({{ wide_sum(milli_gpus()) }} as {{ wide_type() }}) as sampled_milli_gpus,
        cast({{ wide_sum(observed_milliseconds()) }} as {{ wide_type() }}) as observed_gpu_milliseconds,
        cast(coalesce({{ wide_sum(observed_total('utilization_sum', 'utilization_gpu_sum')) }}, 0) as {{ wide_type() }}) as busy_milli_pct_seconds,
        cast(coalesce({{ wide_sum(observed_total('power_sum', 'power_gpu_sum')) }}, 0) as {{ wide_type() }}) as energy_microjoule,
        cast(coalesce({{ wide_sum(milli_gpus()) }} filter (where has_fatal_xid), 0) as {{ wide_type() }}) as fatal_milli_gpus
    from {{ relation }}
    group by park_id, service_date, tranche_id, interval_start_at, known_from_at
{%- endmacro %}
