"""Sections of the monitor, one module a subject: published frames in, page blocks out.

No HTML, no drawing and no reading of files or clocks here.
"""
