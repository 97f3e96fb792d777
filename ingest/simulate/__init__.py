"""Seeded generator of the private feeds that nobody publishes, shaped by profiles of real traces.

Writes landing files only; nothing downstream may know whether a file was simulated.
"""
