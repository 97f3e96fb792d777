"""Thin Dagster assets: read, call one pure function, write, report metadata.

No formula belongs here.
"""
