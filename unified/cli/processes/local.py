"""How a command and the processes that it starts on this machine ask each other: directly, without TLS.

Many a company's machine names a proxy for all that goes out. It knows nobody here.
"""

import os
from functools import cache

import httpx

_HERE = ("127.0.0.1", "localhost", "::1")


@cache
def local() -> httpx.Client:
    """One client for all of them; each new one would read every certificate authority first, for 30 ms.

    While a process starts it is asked ten times a second. No connection is kept: it may have ended since.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(verify=False, trust_env=False, limits=limits)  # noqa: S501 - there is nothing to verify


def environment() -> dict[str, str]:
    """What such a process inherits: this process' environment, in which no proxy leads to this machine itself."""
    outside = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    named = ",".join([*filter(None, outside.split(",")), *_HERE])
    return {**os.environ, "no_proxy": named, "NO_PROXY": named}
