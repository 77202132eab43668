"""What installed connector documents cost a process that loads Dagster's definitions: CPU seconds and memory.

    uv run --group dev python benchmarks/installed.py [--documents 50] [--rounds 5]

The release's templates are installed for the deployment, each under several ids. That database and one without any
document are loaded in turn, each by a process of its own, as Dagster's code server does: `unified_assets.definitions`
imported, and its repository built.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from itertools import count, islice
from urllib.parse import urlsplit

from rig import installation

from unified.cli.installation import migrate_database
from unified.store import migrate
from unified.store.database import Database
from unified.sync.connectors import installing, offers, templates
from unified.sync.connectors.files import Files

_LOAD = """
import gc, json, time
import psutil
from unified_assets.definitions import defs
repository = defs.get_repository_def()
spent = time.process_time()
gc.collect()
size = psutil.Process().memory_full_info().uss / 1e6
print(json.dumps([spent, size, len(repository.asset_graph.get_all_asset_keys())]))
"""


def documents() -> Iterator[Files]:
    """The templates under other ids, without end; their recorded exchanges are tried elsewhere."""
    for number in count(1):
        for name in templates.names():
            text = templates.template(name).document.decode()
            yield Files(name, text.replace(f"\nid: {name}\n", f"\nid: {name}_{number}\n", 1).encode())


async def install(url: str, wanted: int) -> None:
    """Install so many documents."""
    async with Database.open(url) as db:
        for files in islice(documents(), wanted):
            await installing.install(db, None, await offers.examine(db, files), actor="bench")


def loaded(url: str) -> tuple[float, float, int]:
    """CPU seconds and MB of a process that loaded a database's definitions, and how many assets there are."""
    environment = {**os.environ, "DATABASE_URL": url}
    done = subprocess.run(
        [sys.executable, "-c", _LOAD], env=environment, check=True, capture_output=True, text=True
    )
    seconds, size, assets = json.loads(done.stdout.splitlines()[-1])
    return seconds, size, assets


def main() -> None:
    """Install, then load both databases in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with installation() as server:
        urls = [urlsplit(server.url)._replace(path=f"/{name}").geturl() for name in ("without", "with")]
        for url in urls:
            migrate.ensure_database(url)
            migrate_database(url)
        asyncio.run(install(urls[1], options.documents))
        pairs = [(loaded(urls[0]), loaded(urls[1])) for _ in range(options.rounds)]
    for name, sides in zip(("without", "with"), zip(*pairs, strict=True), strict=True):
        seconds, sizes, assets = zip(*sides, strict=True)
        print(
            f"{name}: {statistics.median(seconds):.2f} s, {statistics.median(sizes):.0f} MB, {assets[0]} assets"
        )
    more = [[b - a for a, b in zip(*pair, strict=True)] for pair in pairs]
    seconds, sizes, assets = (statistics.median(column) for column in zip(*more, strict=True))
    print(f"{options.documents} documents: {seconds:.2f} s, {sizes:.1f} MB, {assets:.0f} assets more")


if __name__ == "__main__":
    main()
