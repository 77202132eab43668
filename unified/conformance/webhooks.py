"""Real deliveries of the stand-in: let in as they are, refused when forged or old, known when they are repeated."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from unified.conformance.bench import Bench
from unified.conformance.checks import check
from unified.kit.errors import ConfigurationError, SignatureError
from unified.kit.secrets import Secret
from unified.kit.webhooks.deliveries import Answer, Delivery, ReceivedEvent
from unified.kit.webhooks.owners import Reader, belongs_to
from unified.kit.webhooks.probes import probe_delivery
from unified.kit.webhooks.signatures import Probe, Verifier
from unified.sandbox.webhooks import Endpoint

_FORGED = "forged"


def _delivered(bench: type[Bench]) -> list[tuple[str, str]]:
    """A case for each change that is delivered."""
    if not bench.adapter_class.verifiers:
        return []
    edits = {stream: changes for stream, changes in bench.edits.items() if stream not in bench.silent}
    return [(stream, change) for stream, changes in edits.items() for change in sorted(changes)]


def _delivers(bench: type[Bench]) -> list[tuple[str, str]]:
    return _delivered(bench)[:1]


def _verified(bench: type[Bench]) -> list[tuple[str]]:
    return [(one.name,) for one in bench.adapter_class.verifiers]


@check(_delivered)
async def a_change_is_delivered_and_understood(bench: Bench, stream: str, change: str) -> None:
    """Its events are let in, and what they mean leads to the record: to be read again, or gone."""
    record_id = None if change == "create" else min(bench.ids(stream))
    deliveries, changed = _deliveries(bench, stream, change, record_id)
    events = [event for delivery in deliveries for event in _events(bench, delivery)]
    assert events, "nothing was delivered"
    meant = bench.open().changes(events)
    gone = {tombstone.source_id for tombstone in meant.tombstones.get(stream, ())}
    assert changed in {*meant.fetch.get(stream, ()), *gone}
    assert change == "delete" or changed not in gone
    names = {one.name for one in bench.adapter_class.all_streams()}
    assert {*meant.fetch, *meant.records, *meant.tombstones} <= names


@check(_delivers)
async def a_delivery_that_is_not_proven_is_refused(bench: Bench, stream: str, change: str) -> None:
    """Another secret, none at all, every header changed or left out, a byte more of body, another time."""
    (delivery, *_), _ = _deliveries(bench, stream, change, min(bench.ids(stream)))
    verifier = _verifier(bench)
    claim = verifier.claim(delivery)
    _events(bench, delivery)
    forgeries = {
        "without a secret": (delivery, []),
        "with another secret": (delivery, [_other(bench)]),
    }
    signed = [name for name, value in delivery.headers.items() if _carries(claim.signatures, value)]
    if "headers" not in bench.unsigned:
        forgeries["without headers"] = replace(delivery, headers={}), [Secret(bench.webhook_secret)]
    assert ("headers" in bench.unsigned) == (not signed), "no header carries the signature"
    for name in signed:
        value = delivery.headers[name]
        changed = value[:-3] + bytes([value[-3] ^ 1]) + value[-2:]
        forged = replace(delivery, headers={**delivery.headers, name: changed})
        forgeries[f"with a changed {name}"] = forged, [Secret(bench.webhook_secret)]
    if "body" not in bench.unsigned:
        forged = replace(delivery, body=delivery.body.replace(b"{", b"{ ", 1))
        forgeries["with another body"] = forged, [Secret(bench.webhook_secret)]
    if "time" not in bench.unsigned:
        for days in (-1, 1):
            old = replace(delivery, received_at=delivery.received_at + timedelta(days=days))
            forgeries[f"{days} days off"] = old, [Secret(bench.webhook_secret)]
    assert ("time" in bench.unsigned) == (claim.sent_at is None)
    for what, (forged, secrets) in forgeries.items():
        try:
            verifier.receive(forged, secrets)
        except SignatureError:
            continue
        raise AssertionError(f"a delivery {what} was let in")


@check(_verified)
async def a_test_delivery_is_an_event_about_no_record(bench: Bench, name: str) -> None:
    """Signed as the system does: let in, each under a key of its own, of the connection's account, and in its log."""
    verifier = next(one for one in bench.adapter_class.verifiers if one.name == name)
    secret = Secret(bench.webhook_secret)
    try:
        verifier.check_secret(secret)
    except ConfigurationError:
        secret = Secret("user:fake-password")
    async with bench.open() as adapter:
        account = await adapter.test()
        probes = [Probe(f"probe_{number}", bench.now(), account.id, account.livemode) for number in range(2)]
        delivered = [
            probe_delivery(verifier, "https://hooks.example.com/webhooks/x", secret, one) for one in probes
        ]
        received = [verifier.receive(one, [secret]) for one in delivered]
        events = [event for one in received if not isinstance(one, Answer) for event in one]
        assert len({event.dedupe_key for event in events}) == len(probes)
        reader = Reader(adapter.connection.id, account.id, account.livemode)
        assert all(belongs_to(adapter.owner(event), reader.connection_id, [reader]) for event in events)
        meant = adapter.changes(events)
        assert not any((*meant.fetch.values(), *meant.tombstones.values(), *meant.states.values()))
        for stream, records in meant.records.items():
            origin = adapter.origin(stream, bench.now(), bench.now())
            made = [adapter.map_record(stream, raw.body, origin) for raw in records]
            assert [one.source_id for one in made] == [event.dedupe_key for event in events]


@check(_delivers)
async def a_repeated_delivery_is_known_by_its_key(bench: Bench, stream: str, change: str) -> None:
    """The same event has the same key whenever it comes, and another event has another one."""
    first, _ = _deliveries(bench, stream, change, min(bench.ids(stream)))
    bench.provider.clock.advance(seconds=60)
    second, _ = _deliveries(bench, stream, change, min(bench.ids(stream)))
    keys = [
        [event.dedupe_key for one in deliveries for event in _events(bench, one)]
        for deliveries in (first, second)
    ]
    assert [event.dedupe_key for one in first for event in _events(bench, one)] == keys[0]
    assert not set(keys[0]) & set(keys[1])


def _verifier(bench: Bench) -> Verifier:
    return bench.adapter_class.verifiers[0]


def _other(bench: Bench) -> Secret:
    return Secret(f"{bench.webhook_secret}{_FORGED}")


def _carries(signatures: object, value: bytes) -> bool:
    assert isinstance(signatures, list)
    return any(one in value or value in one for one in signatures if one)


def _events(bench: Bench, delivery: Delivery) -> list[ReceivedEvent]:
    received = _verifier(bench).receive(delivery, [_other(bench), Secret(bench.webhook_secret)])
    assert not isinstance(received, Answer)
    return received


def _deliveries(bench: Bench, stream: str, change: str, record_id: str | None) -> tuple[list[Delivery], str]:
    """Make a change and take what the stand-in sends for it. Also the record's id."""
    with _receiver(bench) as (url, taken):
        key = next(iter(bench.credentials.values()))
        bench.provider.webhooks.add(Endpoint(key, url, bench.webhook_secret, retry_scale=1e-6))
        changed = bench.edit(change, stream, record_id if change != "create" else None)
        assert bench.provider.webhooks.wait(60)
        bench.provider.webhooks.clear()
    return taken, changed


@contextmanager
def _receiver(bench: Bench) -> Iterator[tuple[str, list[Delivery]]]:
    """A server that takes deliveries, at the stand-in's time."""
    taken: list[Delivery] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Keep it."""
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value.encode("latin-1") for name, value in self.headers.items()}
            received_at = datetime.fromtimestamp(bench.provider.clock.time(), UTC)
            taken.append(Delivery("POST", f"{url}{self.path}", headers, body, received_at))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not to the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"{url}/webhooks/conformance", taken
        finally:
            server.shutdown()
            thread.join()
