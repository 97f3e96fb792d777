{#
    How the models tagged metering_heavy run on Spark while everything else stays in DuckDB's warehouse (PARKLEDGER_ENGINE=spark):

    1. dbt on DuckDB makes what they read and hands it over: the relations below and the list of pending partitions, as Parquet in PARKLEDGER_EXCHANGE
    2. dbt on Spark reads the same lake, makes their rows of those partitions and leaves them there
    3. dbt on DuckDB builds the project as always; the models take over the rows from there instead of making them

    Where nothing is pending there is no second step, and no Spark is started.
#}
{% macro relations_handed_over() -%}
{{ return(['stg_home', 'stg_policy', 'stg_lake_hour', 'stg_lake_node']) }}
{%- endmacro %}

{% macro exchange_folder() -%}{{ env_var('PARKLEDGER_EXCHANGE', '') }}{%- endmacro %}

{% macro handed_over(name) -%}parquet.`{{ exchange_folder() }}/in/{{ name }}.parquet`{%- endmacro %}

{# Step 1, after the models that are read, in the run that is asked for it. dbt wants to see in the hook itself what it reads. #}
{% macro hand_over(read) -%}
    {%- if execute and target.type == 'duckdb' and env_var('PARKLEDGER_HANDS_OVER', '') -%}
        {%- for name in relations_handed_over() -%}
            {%- do run_query('copy (from staging.' ~ name ~ ") to '" ~ exchange_folder() ~ '/in/' ~ name ~ ".parquet' (format parquet)") -%}
        {%- endfor -%}
        {%- set standing = adapter.get_relation(target.database, 'intermediate', 'int_gpu_hours__by_tranche_hour') -%}
        {%- do run_query(
            'copy (' ~ default__pending_telemetry_query(standing) ~ ") to '" ~ exchange_folder()
            ~ "/in/telemetry_partition.parquet' (format parquet)"
        ) -%}
    {%- endif -%}
{%- endmacro %}

{# Step 2, before the models: what was handed over stands where their ref() looks for it. #}
{% macro receive() -%}
    {%- if execute and target.type == 'spark' -%}
        {%- do run_query('create schema if not exists staging') -%}
        {%- for name in relations_handed_over() -%}
            {%- do run_query('drop table if exists staging.' ~ name) -%}
            {%- do run_query('create table staging.' ~ name ~ " using parquet location '" ~ exchange_folder() ~ '/in/' ~ name ~ ".parquet'") -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{# Spark makes the rows of the pending partitions alone; where they stand, in DuckDB, they replace those that were there. #}
{% macro incremental_where_it_stands() -%}{{ adapter.dispatch('incremental_where_it_stands')() }}{%- endmacro %}
{% macro default__incremental_where_it_stands() -%}incremental{%- endmacro %}
{% macro spark__incremental_where_it_stands() -%}table{%- endmacro %}

{% macro spark_location() -%}{{ return(adapter.dispatch('spark_location')()) }}{%- endmacro %}
{% macro default__spark_location() -%}{{ return(none) }}{%- endmacro %}
{% macro spark__spark_location() -%}{{ return(exchange_folder() ~ '/out') }}{%- endmacro %}

{# Days whose files have left the lake; Spark's table holds none. #}
{% macro forget_days_without_files(hours, files) -%}{{ adapter.dispatch('forget_days_without_files')(hours, files) }}{%- endmacro %}
{% macro default__forget_days_without_files(hours, files) -%}
delete from {{ hours }} as hours
where not exists (select 1 from {{ files }} as files where files.park_id = hours.park_id and files.service_date = hours.service_date)
{%- endmacro %}
{% macro spark__forget_days_without_files(hours, files) -%}{%- endmacro %}

{# Step 3. #}
{% macro is_taken_over() -%}
{{ return(execute and target.type == 'duckdb' and env_var('PARKLEDGER_ENGINE', 'duckdb') == 'spark') }}
{%- endmacro %}

{% macro taken_over(partitions) -%}
    {%- set listed = run_query("from read_parquet('" ~ exchange_folder() ~ "/in/telemetry_partition.parquet')").rows -%}
    {%- set known = [] -%}
    {%- for row in listed -%}{%- do known.append([row[0], row[1], row[2]]) -%}{%- endfor -%}
    {%- set wanted = [] -%}
    {%- for partition in partitions -%}
        {%- do wanted.append([partition.park_id, partition.service_date, partition.fingerprint]) -%}
    {%- endfor -%}
    {%- if wanted != known -%}
        {{ exceptions.raise_compiler_error('Spark has metered other park-days than those that are pending now: run again with --engine spark') }}
    {%- endif -%}
select
    park_id,
    service_date,
    tranche_id,
    interval_start_at,
    known_from_at,
    partition_fingerprint,
    sample_count,
    {% for column in ['sampled_milli_gpus', 'observed_gpu_milliseconds', 'busy_milli_pct_seconds', 'energy_microjoule', 'fatal_milli_gpus'] -%}
    cast({{ column }} as hugeint) as {{ column }}{{ ',' if not loop.last }}
    {% endfor -%}
from read_parquet('{{ exchange_folder() }}/out/int_gpu_hours__by_tranche_hour/*.parquet')
{%- endmacro %}
