"""Run a workload through the real SQL functions in virtual time and compare the schedule with simple ones.

Start it by `qgjob replay`. Nothing fails in a replay, and every device of a target is alike.
"""
