"""HTTP to the processes that a command starts on this machine, over connections without TLS."""

from functools import cache

import httpx


@cache
def local() -> httpx.Client:
    """One client for all of them; each new one would read every certificate authority first, for 30 ms.

    While a process starts it is asked ten times a second. No connection is kept: it may have ended since.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(verify=False, limits=limits)  # noqa: S501 - there is nothing to verify
