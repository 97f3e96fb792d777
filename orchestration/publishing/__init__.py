"""The published snapshot, its exports and the investor monitor: frames in, bytes out.

No figure is derived here that an analyst could not find in a published table.
"""
