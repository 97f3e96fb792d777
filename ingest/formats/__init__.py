"""One module per outside file format, each mapping a maker's file onto canonical feed frames.

No landing, no warehouse: a format never knows where its rows go.
"""
