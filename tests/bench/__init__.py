"""What the engine costs, side by side with its peers on the same server in the same run. `make bench` runs it.

Ratios are what counts: every number is taken in rounds that alternate between the contenders, on whatever machine is
at hand, and nothing here ever fails because something was slow.
"""
