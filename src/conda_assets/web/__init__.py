"""HTTP as this package needs it: `exchange` asks, `reach` knows proxies and authorities, `failures` names what went wrong.

`exchange` and `wire` load requests (50 ms), the others do not.
"""
