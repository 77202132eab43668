"""Nothing that was acknowledged is lost: senders deliver while ingress and database are killed at random.

    uv run --group dev python benchmarks/chaos.py [--seconds 60] [--seed 1]

Senders do as providers do: what is not answered with 200 is sent again. Ingress and PostgreSQL die by SIGKILL, one or
both at once, and are started again. At the end each event that was answered with 200 must be in the inbox, and
no event twice. Exits with 1 if that is not so, or if the run was too calm to say anything.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count

import psycopg
from rig import IngressProcess, Installation, PostgresServer, install, postgres

from unified.store.server.patience import Patience

PATIENCE_SECONDS = 120.0  # for the next delivery to be acknowledged
SENDERS = 16
ENDPOINTS = 8


@dataclass
class Tally:
    """What was seen.

    Attributes:
        acknowledged: Ids of events that were answered with 200.
        answers: How often each status came; 0 where there was no answer.
        kills: How often each of the two was killed.
    """

    acknowledged: set[str] = field(default_factory=set)
    answers: Counter[int] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)

    def is_calm(self) -> bool:
        """Whether too little happened to say anything."""
        return len(self.kills) < 2 or len(self.acknowledged) < 100


async def send(installation: Installation, port: int, numbers: "count[int]", tally: Tally) -> None:
    """Deliver one event after the other, each until it is acknowledged, over one connection while that lasts."""
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    for number in numbers:
        event_id = f"evt_{number:010}"
        while event_id not in tally.acknowledged:
            status = 0
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = connection = connection or await asyncio.open_connection("127.0.0.1", port)
                writer.write(installation.request(number, event_id))
                head = await reader.readuntil(b"\r\n\r\n")
                status = int(head[9:12])
            tally.answers[status] += 1
            if status == 200:
                tally.acknowledged.add(event_id)
                continue
            if connection:
                connection[1].close()
            connection = None
            await asyncio.sleep(0.05)


async def kill(
    server: PostgresServer, ingress: IngressProcess, tally: Tally, *, seconds: float, seed: int
) -> None:
    """Kill one of them or both, start them again, let them run for a while, and so on. In the end both run.

    On a busy machine it takes longer than ``seconds``, until enough has happened; every other time it waits for a
    delivery to be acknowledged first, since a server that is killed while it starts acknowledges none.
    """
    chance = random.Random(seed)  # noqa: S311 - to be repeatable
    end = time.monotonic() + seconds
    patience = Patience(PATIENCE_SECONDS, lambda: len(tally.acknowledged))
    for number in count():
        if patience.is_out() or (time.monotonic() > end and not tally.is_calm()):
            return
        before = len(tally.acknowledged)
        await asyncio.sleep(chance.uniform(0.2, 1.5))
        while number % 2 and len(tally.acknowledged) == before and not patience.is_out():  # noqa: ASYNC110 - or given up
            await asyncio.sleep(0.05)
        victims = chance.choice([("ingress",), ("database",), ("ingress", "database")])
        tally.kills.update(victims)
        if "ingress" in victims:
            ingress.kill()
        if "database" in victims:
            server.kill()
            await asyncio.to_thread(server.restart)
        if "ingress" in victims:
            await asyncio.to_thread(ingress.start)


async def run(
    installation: Installation, server: PostgresServer, ingress: IngressProcess, *, seconds: float, seed: int
) -> Tally:
    """Send and kill for a time."""
    tally = Tally()
    numbers = count()
    senders = [asyncio.create_task(send(installation, ingress.port, numbers, tally)) for _ in range(SENDERS)]
    await kill(server, ingress, tally, seconds=seconds, seed=seed)
    for sender in senders:
        sender.cancel()
    await asyncio.wait(senders)
    for sender in senders:
        if not sender.cancelled():
            sender.result()  # raises what ended it early
    return tally


def stored(url: str) -> Counter[str]:
    """Events in the inbox, and how often each is there."""
    with psycopg.connect(url) as connection:
        return Counter(key for (key,) in connection.execute("SELECT event_key FROM webhook_inbox"))


def main() -> None:
    """Run, compare and print."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--seed", type=int, default=1, help="of the order and times of the kills")
    options = arguments.parse_args()
    with postgres() as server:
        installation = install(server.url, ENDPOINTS)
        ingress = IngressProcess(server.url, installation.keys, server.folder / "ingress.log")
        try:
            tally = asyncio.run(
                run(installation, server, ingress, seconds=options.seconds, seed=options.seed)
            )
            found = stored(server.url)
        finally:
            ingress.kill()
    lost = tally.acknowledged - found.keys()
    twice = [key for key, times in found.items() if times > 1]
    print(f"killed: {dict(tally.kills)}; answers (0: none): {dict(tally.answers)}")
    print(
        f"acknowledged {len(tally.acknowledged):,}, stored {len(found):,}, lost {len(lost)}, stored twice {len(twice)}"
    )
    if lost or twice:
        sys.exit(f"FAILED: lost {sorted(lost)[:5]}, twice {sorted(twice)[:5]}")
    if tally.is_calm():
        sys.exit(f"too calm to say anything: nothing was acknowledged for {PATIENCE_SECONDS:.0f} s")


if __name__ == "__main__":
    main()
