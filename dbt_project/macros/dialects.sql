{#
    What the models tagged metering_heavy say differently in the two engines that run them: DuckDB, and Spark through dbt-spark.

    One model, one text; a macro here stands wherever the dialects part. `default__` is DuckDB's way, `spark__` Spark's. Whole numbers stay whole in both:
    HUGEINT there, DECIMAL(38, 0) here, so that both give the same digits. dbt-spark turns Spark's ANSI mode off, and with it the error that an overflowing
    BIGINT would be: what may leave 64 bits is summed as DECIMAL.
#}
{% macro text_type() -%}{{ adapter.dispatch('text_type')() }}{%- endmacro %}
{% macro default__text_type() -%}varchar{%- endmacro %}
{% macro spark__text_type() -%}string{%- endmacro %}

{% macro instant_type() -%}{{ adapter.dispatch('instant_type')() }}{%- endmacro %}
{% macro default__instant_type() -%}timestamptz{%- endmacro %}
{% macro spark__instant_type() -%}timestamp{%- endmacro %}

{# A literal instant; the text names its offset. #}
{% macro instant(text) -%}{{ instant_type() }} '{{ text }}'{%- endmacro %}

{# Whole numbers of up to 38 digits. #}
{% macro wide_type() -%}{{ adapter.dispatch('wide_type')() }}{%- endmacro %}
{% macro default__wide_type() -%}hugeint{%- endmacro %}
{% macro spark__wide_type() -%}decimal(38, 0){%- endmacro %}

{# A sum of BIGINTs that does not overflow. #}
{% macro wide_sum(value) -%}{{ adapter.dispatch('wide_sum')(value) }}{%- endmacro %}
{% macro default__wide_sum(value) -%}sum({{ value }}){%- endmacro %}
{% macro spark__wide_sum(value) -%}sum(cast({{ value }} as decimal(28, 0))){%- endmacro %}

{# BIGINT ÷ BIGINT, the rest dropped. #}
{% macro whole_quotient(a, b) -%}{{ adapter.dispatch('whole_quotient')(a, b) }}{%- endmacro %}
{% macro default__whole_quotient(a, b) -%}({{ a }} // {{ b }}){%- endmacro %}
{% macro spark__whole_quotient(a, b) -%}({{ a }} div {{ b }}){%- endmacro %}

{#
    Wide a ÷ wide b to the nearest whole number, halves away from zero; b is above zero. Spark has no whole division of decimals: what is left over is taken
    away first, and the division is exact.
#}
{% macro nearest_quotient(a, b) -%}{{ adapter.dispatch('nearest_quotient')(a, b) }}{%- endmacro %}
{% macro default__nearest_quotient(a, b) -%}main.rounded_quotient({{ a }}, {{ b }}){%- endmacro %}
{% macro spark__nearest_quotient(a, b) -%}
{%- set a, b = 'cast(' ~ a ~ ' as decimal(38, 0))', 'cast(' ~ b ~ ' as decimal(38, 0))' -%}
cast(
                sign({{ a }}) * (
                    cast((abs({{ a }}) - abs({{ a }}) % {{ b }}) / {{ b }} as decimal(38, 0))
                    + case when abs({{ a }}) % {{ b }} >= {{ b }} - abs({{ a }}) % {{ b }} then 1 else 0 end
                ) as decimal(38, 0)
            )
{%- endmacro %}

{% macro microseconds_of(instant) -%}{{ adapter.dispatch('microseconds_of')(instant) }}{%- endmacro %}
{% macro default__microseconds_of(instant) -%}epoch_us({{ instant }}){%- endmacro %}
{% macro spark__microseconds_of(instant) -%}unix_micros({{ instant }}){%- endmacro %}

{# A mark for the minute of an hour that an instant lies in, one bit of 60. #}
{% macro minute_mark(instant, hour) -%}
{{ adapter.dispatch('bit')('cast(' ~ whole_quotient('(' ~ microseconds_of(instant) ~ ' - ' ~ microseconds_of(hour) ~ ')', '60000000') ~ ' as integer)') }}
{%- endmacro %}
{% macro default__bit(place) -%}1::ubigint << {{ place }}{%- endmacro %}
{% macro spark__bit(place) -%}shiftleft(1L, {{ place }}){%- endmacro %}

{# Lists of instants: a literal of texts, one row for each of a list and 'the end of time', whether one lies in [low, high). #}
{% macro instants(texts) -%}{{ adapter.dispatch('instants')(texts) }}{%- endmacro %}
{% macro default__instants(texts) -%}{{ texts }}::varchar[]::timestamptz[]{%- endmacro %}
{% macro spark__instants(texts) -%}
cast(array({% for text in texts %}'{{ text }}'{{ ', ' if not loop.last }}{% endfor %}) as array<timestamp>)
{%- endmacro %}

{% macro each_and_the_end(list) -%}{{ adapter.dispatch('each_and_the_end')(list) }}{%- endmacro %}
{% macro default__each_and_the_end(list) -%}unnest(list_append({{ list }}, {{ instant('9999-12-31 00:00:00+00') }})){%- endmacro %}
{% macro spark__each_and_the_end(list) -%}explode(array_append({{ list }}, {{ instant('9999-12-31 00:00:00+00') }})){%- endmacro %}

{% macro has_one_between(list, low, high) -%}{{ adapter.dispatch('has_one_between')(list, low, high) }}{%- endmacro %}
{% macro default__has_one_between(list, low, high) -%}
len(list_filter({{ list }}, lambda split: split >= {{ low }} and split < {{ high }})) > 0
{%- endmacro %}
{% macro spark__has_one_between(list, low, high) -%}
exists({{ list }}, split -> split >= {{ low }} and split < {{ high }})
{%- endmacro %}

{# Said of a CTE that is read twice: DuckDB keeps its rows, Spark reuses the exchange by itself. #}
{% macro materialized_once() -%}{{ adapter.dispatch('materialized_once')() }}{%- endmacro %}
{% macro default__materialized_once() -%}materialized{%- endmacro %}
{% macro spark__materialized_once() -%}{%- endmacro %}

{# The rows of a branch of telemetry_branches(): see telemetry_rows(). #}
{% macro telemetry_files(branch) -%}{{ adapter.dispatch('telemetry_files')(branch) }}{%- endmacro %}

{# Through the table macro that landing has made for the layout. #}
{% macro default__telemetry_files(branch) -%}
raw.{{ branch.layout }}(
        [
            {%- for path in branch.paths %}
            '{{ lake_folder() }}/{{ path | replace("'", "''") }}'{{ ',' if not loop.last }}
            {%- endfor %}
        ],
        {{ branch.clock_shift_seconds }},
        {{ instant(branch.recorded_at) if branch.recorded_at is not none else 'cast(null as timestamptz)' }}
    )
{%- endmacro %}

{#
    The same columns from the same files. Spark keeps no macros that give tables, so the cells of ingest/lake.py stand here in its dialect: which columns a
    delivered file has, Spark itself says. Measured values are not negative, so the nearest whole number is the one below plus what is left from a half on.
    Rows of one key are ordered by their content as DuckDB orders a struct: what is null comes last.
#}
{% macro spark__telemetry_files(branch) -%}
{%- set paths = [] -%}
{%- for path in branch.paths -%}{%- do paths.append(path) -%}{%- endfor -%}
{%- set files = 'parquet.`' ~ lake_folder() ~ '/{' ~ paths | join(',') ~ '}`' -%}
{%- if branch.is_rewritten -%}
{%- set cells = {'sampled_at': 'sampled_at', 'interval_start_at': 'interval_start_at', 'recorded_at': 'recorded_at', 'tranche_id': 'tranche_id'} -%}
{%- set found = ['node_id', 'gpu_model', 'utilization_milli_pct', 'power_microwatt', 'gpu_count', 'energy_mj', 'memory_used_mib', 'xid_code'] -%}
{%- do cells.update({'utilization_milli_pct': 'utilization_milli_pct', 'power_microwatt': 'power_microwatt', 'gpu_count': 'gpu_count'}) -%}
{%- do cells.update({'line_no': 'line_no', 'file_id': 'file_id'}) -%}
{%- else -%}
{%- set found = [] -%}
{%- for row in run_query('describe query select * from ' ~ files).rows -%}{%- do found.append(row[0]) -%}{%- endfor -%}
{%- set shift = branch.clock_shift_seconds ~ '000000' -%}
{%- set received = instant(branch.recorded_at) if branch.recorded_at is not none else 'cast(null as timestamp)' -%}
{%- set cells = {
    'sampled_at': 'sampled_at',
    'interval_start_at': 'timestamp_micros((unix_micros(sampled_at) + ' ~ shift ~ 'L) div 3600000000 * 3600000000 - ' ~ shift ~ 'L)',
    'recorded_at': 'coalesce(recorded_at, ' ~ received ~ ')' if 'recorded_at' in found else received,
    'tranche_id': 'cast(null as string)',
    'utilization_milli_pct': spark_nearest('cast(utilization_pct as double) * 1000') if 'utilization_pct' in found else 'cast(null as int)',
    'power_microwatt': spark_nearest('cast(power_w as double) * 1000000') if 'power_w' in found else 'cast(null as bigint)',
    'gpu_count': 'coalesce(cast(gpu_count as int), 1)' if 'gpu_count' in found else '1',
    'line_no': '_metadata.row_index + 1',
    'file_id': "regexp_replace(_metadata.file_name, '[.]parquet$', '')"
} -%}
{%- endif -%}
{%- do cells.update({'xid_code': 'cast(xid_code as int)' if 'xid_code' in found else 'cast(null as int)'}) -%}
{%- set kinds = {
    'sampled_at': 'timestamp', 'interval_start_at': 'timestamp', 'recorded_at': 'timestamp', 'tranche_id': 'string', 'utilization_milli_pct': 'int',
    'power_microwatt': 'bigint', 'gpu_count': 'int', 'line_no': 'bigint', 'file_id': 'string', 'xid_code': 'int'
} -%}
{%- set content = [] -%}
{%- for name, kind in {
    'node_id': 'string', 'gpu_model': 'string', 'utilization_milli_pct': 'int', 'power_microwatt': 'bigint', 'gpu_count': 'int',
    'energy_mj': 'bigint', 'memory_used_mib': 'bigint', 'xid_code': 'int'
}.items() -%}
{%- set cell = 'cast(' ~ (cells[name] if name in cells else (name if name in found else 'null')) ~ ' as ' ~ kind ~ ')' -%}
{%- do content.append(cell ~ ' is null') -%}
{%- do content.append(cell) -%}
{%- endfor -%}
(
        select
            gpu_id,
            node_id,
            {%- for name, cell in cells.items() %}
            cast({{ cell }} as {{ kinds[name] }}) as {{ name }},
            {%- endfor %}
            struct({{ content | join(', ') }}) as content
        from {{ files }}
    )
{%- endmacro %}

{% macro spark_nearest(value) -%}
(floor({{ value }}) + case when {{ value }} - floor({{ value }}) >= 0.5d then 1 else 0 end)
{%- endmacro %}
