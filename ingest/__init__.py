"""Feeds and terms become typed raw tables here: parse, check against a contract, quarantine, land.

Nothing here knows of Dagster or dbt, and no amount is computed here.
"""
