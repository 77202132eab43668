"""What the benchmarks of running services share: PostgreSQL, `unified serve` and `unified dev`, signed deliveries.

Everything lives in a folder that is deleted at the end and runs in processes of its own, so that each can be killed.
"""

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil
import psycopg
from cryptography.fernet import Fernet

from unified.cli.installation import migrate_database
from unified.kit.secrets import Secret
from unified.store.connections.registry import Registry
from unified.store.database import Database
from unified.store.inbox.endpoints import Endpoint, Endpoints
from unified.store.secrets.credentials.store import CredentialStore
from unified.store.secrets.keys import MASTER_KEYS_VARIABLE, LocalKeyProvider, generate_key
from unified.store.workspaces import workspaces

SECRET = "whsec_fake_of_the_benchmarks"  # noqa: S105 - opens nothing but this
WORKSPACE = "bench"

# Starts the server, says where it is, and stops it when its standard input ends.
_KEEPER = """
import sys
from pathlib import Path
from unified.store.server import embedded
print(embedded.start(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""

_UNIFIED = str(Path(sys.executable).with_name("unified"))


class PostgresServer:
    """A server that can be killed and started again.

    Attributes:
        folder: Where its data are, and whatever else is to go with it.
        url: Of its database, a superuser's.
    """

    def __init__(self, folder: Path) -> None:
        """Start it, with its data in ``folder``."""
        self.folder = folder
        self.url = self._start()

    def kill(self) -> None:
        """SIGKILL it: no checkpoint, no farewell to its clients."""
        self._keeper.kill()  # or it would stop the next one
        self._keeper.wait()
        postmaster = psutil.Process(int(self._pid_file.read_text().split()[0]))
        postmaster.kill()
        postmaster.wait()

    def restart(self) -> None:
        """Start it after :meth:`kill`; it recovers from its log."""
        while True:
            with contextlib.suppress(RuntimeError):
                self._start()
                return

    def stop(self) -> None:
        """Stop it in order."""
        assert self._keeper.stdin is not None  # noqa: S101 - a pipe was asked for
        self._keeper.stdin.close()
        self._keeper.wait()

    def cpu(self) -> float:
        """Seconds of processor time that its processes have taken, those that ended included."""
        postmaster = psutil.Process(int(self._pid_file.read_text().split()[0]))
        times = postmaster.cpu_times()
        taken = times.user + times.system + times.children_user + times.children_system
        for child in postmaster.children():
            with contextlib.suppress(psutil.NoSuchProcess):  # its time is the postmaster's by now
                taken += sum(child.cpu_times()[:2])
        return float(taken)

    @property
    def _pid_file(self) -> Path:
        return self.folder / "postgres" / "postmaster.pid"

    def _start(self) -> str:
        arguments = [sys.executable, "-c", _KEEPER, str(self.folder)]
        self._keeper = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._keeper.stdout is not None  # noqa: S101 - a pipe was asked for
        url = self._keeper.stdout.readline().strip()
        if not url:  # the killed one's children may hold its shared memory a moment longer
            self._keeper.wait()
            raise RuntimeError
        return url


@contextlib.contextmanager
def postgres() -> Iterator[PostgresServer]:
    """A server in a folder of its own, stopped and deleted at the end."""
    with tempfile.TemporaryDirectory() as folder:
        server = PostgresServer(Path(folder))
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def installation() -> Iterator[PostgresServer]:
    """A server, and what the environment says to the product and to Dagster: a home, the database, a master key."""
    with postgres() as server:
        os.environ |= {
            "UNIFIED_HOME": str(server.folder),
            "DATABASE_URL": server.url,
            MASTER_KEYS_VARIABLE: generate_key(),
        }
        yield server


def opened_sessions(url: str) -> int:
    """Sessions that a server has opened since it was made, in all of its databases."""
    with psycopg.connect(url) as conn:
        row = conn.execute("SELECT sum(sessions)::bigint FROM pg_stat_database").fetchone()
    assert row is not None  # noqa: S101 - an aggregate gives one row
    return int(row[0])


class IngressProcess:
    """`unified serve` in a process that can be killed, and started again on the same port."""

    def __init__(self, url: str, keys: str, log: Path, *, workers: int = 1, **settings: str) -> None:
        """Serve the database at ``url``; ``settings`` are environment variables."""
        self._workers = workers
        self._environment = {**os.environ, "DATABASE_URL": url, MASTER_KEYS_VARIABLE: keys, **settings}
        self._log = log
        self.port = free_port()
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers; it ends at once where the database is away, and is started again."""
        while True:
            with self._log.open("ab") as log:
                arguments = [_UNIFIED, "serve", "--port", str(self.port), "--workers", str(self._workers)]
                self.process = subprocess.Popen(arguments, env=self._environment, stdout=log, stderr=log)
            while self.process.poll() is None:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", self.port)).close()
                    return
                time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL it, with whatever it was about to answer."""
        self.process.kill()
        self.process.wait()

    def cpu(self) -> float:
        """Seconds of processor time that it and its workers have taken."""
        whole = psutil.Process(self.process.pid)
        return float(sum(sum(one.cpu_times()[:2]) for one in (whole, *whole.children(recursive=True))))

    def stop(self) -> None:
        """End it in order."""
        self.process.terminate()
        self.process.wait()


class DevProcess:
    """`unified dev` on the installation of the environment, from when Dagster's UI answers until it is left."""

    def __enter__(self) -> Self:
        """Start it, however long a busy machine takes for that."""
        command = [_UNIFIED, "dev", "--port", str(free_port()), "--webhook-port", str(free_port())]
        log = Path(os.environ["UNIFIED_HOME"], "dev.log")  # no pipe: nobody would read its line for each sync
        with log.open("w") as output:
            self._process = subprocess.Popen([*command, "--patience", "600"], stdout=output)
        self.pid = self._process.pid
        while self._process.poll() is None:
            text = log.read_text()
            if found := re.search(r"Dagster is at (\S+) ", text):
                self.url = found[1].rstrip("/")
                self.webhooks = re.findall(r"taken at (http://[^/]+)/", text)[0]
                return self
            time.sleep(0.2)
        msg = "`unified dev` ended before Dagster's UI answered"
        raise RuntimeError(msg)

    def cpu(self) -> float:
        """Seconds of processor time of it and its processes, those that ended included."""
        whole = psutil.Process(self.pid)
        return float(sum(sum(one.cpu_times()[:4]) for one in (whole, *whole.children(recursive=True))))

    def __exit__(self, *_: object) -> None:
        """Interrupt it, as Ctrl-C does, and wait until it has ended."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait()


def free_port() -> int:
    """A port that is not among those which the system gives to clients.

    One of these, while nobody listens on it, can be given to a sender that tries to reach it: it reaches itself.
    """
    while True:
        port = random.randrange(20_000, 30_000)  # noqa: S311 - nothing to guess here
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


@dataclass(frozen=True)
class Installation:
    """A migrated database with endpoints.

    Attributes:
        url: Of its database.
        keys: Its master keys.
        endpoints: Endpoints of Stripe's, each of a connection of its own.
        generic: Endpoints of generic webhooks, likewise, which take the same events.
    """

    url: str
    keys: str
    endpoints: list[Endpoint]
    generic: list[Endpoint]

    def request(
        self, number: int, event_id: str, body_bytes: int = 1_200, *, is_generic: bool = False
    ) -> bytes:
        """A whole HTTP request: an event signed now, for one endpoint after the other."""
        event = {
            "id": event_id,
            "object": "event",
            "type": "customer.updated",
            "created": int(time.time()),
            "data": {"object": {"id": "cus_1", "object": "customer", "description": ""}},
        }
        padding = body_bytes - len(json.dumps(event))
        event["data"]["object"]["description"] = "x" * padding  # type: ignore[index]  # the dict above
        body = json.dumps(event).encode()
        moment = int(time.time())
        signed = body if is_generic else b"%d." % moment + body
        digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        signature = (
            f"X-Hub-Signature-256: sha256={digest}"
            if is_generic
            else f"Stripe-Signature: t={moment},v1={digest}"
        )
        connector, endpoints = ("webhook", self.generic) if is_generic else ("stripe", self.endpoints)
        head = (
            f"POST /webhooks/{connector}/{endpoints[number % len(endpoints)].path} HTTP/1.1\r\n"
            "Host: hooks.example.com\r\nUser-Agent: Stripe/1.0\r\nAccept: */*\r\n"
            "Content-Type: application/json; charset=utf-8\r\n"
            f"{signature}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def install(url: str, endpoints: int, *, generic: int = 0) -> Installation:
    """Migrate a database, and add a workspace with endpoints of Stripe's and of generic webhooks."""
    migrate_database(url)
    return asyncio.run(_install(url, endpoints, generic))


async def _install(url: str, of_stripe: int, generic: int) -> Installation:
    keys = Fernet.generate_key().decode()
    reading = {"id_field": "id", "time_field": "created"}
    async with Database.open(url) as db:
        registry = Registry(db)
        kept = Endpoints(db, CredentialStore(db, LocalKeyProvider([keys])))
        workspace = await workspaces.create(db, WORKSPACE)
        made: dict[str, list[Endpoint]] = {"stripe": [], "webhook": []}
        for (connector, endpoints), number in zip(made.items(), (of_stripe, generic), strict=True):
            for count in range(number):
                connection = await registry.add_connection(workspace.id, connector, f"{connector}-{count}")
                options = reading if connector == "webhook" else None
                endpoints.append(
                    await kept.create(connection, verifier="hmac" if options else None, options=options)
                )
                await kept.rotate(endpoints[-1], Secret(SECRET))
    return Installation(url, keys, made["stripe"], made["webhook"])
