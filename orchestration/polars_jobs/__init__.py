"""Pure jobs, LazyFrame in and LazyFrame out: receivables, credit loss, backstop worth, exposure.

No I/O, no clock, no globals, no DuckDB, no Dagster.
"""
