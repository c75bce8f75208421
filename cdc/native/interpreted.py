"""What sources that are compiled, too, see as `cython` where it is not installed."""

compiled = False
