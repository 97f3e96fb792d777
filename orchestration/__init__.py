"""Dagster definitions, the pure jobs their assets call, publishing and the command line.

No parsing of input files (ingest) and no contract rules (dbt_project).
"""
