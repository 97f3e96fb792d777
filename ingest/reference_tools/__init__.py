"""Makes the computed tables of data/reference from their real sources.

Run by hand when a source moves on; nothing of a run imports it, and it reads no home.
"""
