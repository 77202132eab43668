"""How tests wait: for a condition, with a limit that says only that what is waited for will never happen."""

LIMIT_SECONDS = 600.0
"""Far more than the slowest machine needs. No test waits that long unless something is broken."""
