"""Stand-in for the `cython` module, for shared sources where Cython is not installed."""

compiled = False
