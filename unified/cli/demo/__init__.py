"""``unified demo``: the whole way, on stand-ins."""
