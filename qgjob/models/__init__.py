"""The shapes that cross the wire. Field names are the column names of the SQL functions that fill them.

Times are UTC (RFC 3339 in JSON), durations end in `_s` and are seconds, ids are integers.
"""
