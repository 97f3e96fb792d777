"""One module per canonical feed: what is special to its rows (checks, derived columns).

No file formats (formats), no writing (landing).
"""
