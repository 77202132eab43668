"""Peak memory of a first load of N records and of ten times as many: it must stay flat.

    uv run --group dev python benchmarks/memory.py http://127.0.0.1:8701 http://127.0.0.1:8702

The URLs are fake APIs of the harness, started with different ``--customers`` and ``--invoices``.
"""

import argparse
import json

from harness import NAME, STREAMS, UNIFIED, environment, fresh_connection, measure


def main() -> None:
    """Load each size and print the ratio of the peaks."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("sizes", nargs="+", help="URLs of fake APIs, the smaller first")
    options = arguments.parse_args()
    bench = measure()
    peaks = []
    for url in options.sizes:
        fresh_connection(base_url=url)
        done = bench.run([UNIFIED, "sync", NAME, *STREAMS, "--json"], environment())
        read = sum(result["read"] for result in json.loads(done["out"]))
        peaks.append(done["rss"])
        print(f"{read} records: peak {done['rss']:.0f} MB, {done['wall']:.1f} s")
    print(f"ratio of peaks: {peaks[-1] / peaks[0]:.2f}")


if __name__ == "__main__":
    main()
