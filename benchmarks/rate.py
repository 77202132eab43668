"""How much of an allowed rate a first load uses, with latency on each answer.

    uv run --group dev python benchmarks/rate.py [--latency-ms 200] [--rate 25]

Prints achieved requests per second as a share of the allowed ones, how many were refused, and whether all records
arrived.
"""

import argparse
import json

from harness import NAME, STREAMS, control, fresh_connection, unified


def main() -> None:
    """Load once under latency and a limit."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--latency-ms", type=float, default=200)
    arguments.add_argument("--rate", type=float, default=25)
    options = arguments.parse_args()
    fresh_connection(requests_per_second=options.rate)
    control(latency_ms=options.latency_ms, rps=options.rate, burst=max(1, options.rate / 5))
    before = control()
    try:
        results = json.loads(unified("sync", NAME, *STREAMS, "--json"))
    finally:
        control(latency_ms=0, rps=0)
    after = control()
    seconds = max(result["seconds"] for result in results)  # streams are read side by side
    requests = after["reqs"] - before["reqs"]
    refused = after["limited"] - before["limited"]
    expected = after["counts"]["/v1/customers"] + after["counts"]["/v1/invoices"]
    read = sum(result["inserted"] for result in results)
    print(
        f"{requests} requests in {seconds:.1f} s: {requests / seconds / options.rate:.0%} of the allowed rate"
    )
    print(f"refused with 429: {refused}; records stored: {read} of {expected}")


if __name__ == "__main__":
    main()
