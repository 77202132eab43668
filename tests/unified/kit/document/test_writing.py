"""Streams that a document writes: what every writer must do, at Stripe's stand-in, and actions of several steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.adapters.stripe.test_conformance import StripeBench
from tests.unified.kit.document.api import KEY, Api, Turns, opened, serving
from tests.unified.kit.document.test_model import desk
from unified.conformance.checks import CHECKS
from unified.conformance.suite import conformance
from unified.kit.declarations import Capability
from unified.kit.document.engine import adapter_class
from unified.kit.document.model import read
from unified.kit.errors import AdapterError, ConfigurationError, NotFoundError, UndecidedError
from unified.kit.writing.changes import Write, Written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unified.kit.document.engine import DocumentAdapter
    from unified.kit.streams import RawRecord

FILE = Path(__file__).with_name("stripe.yaml")


class DocumentBench(StripeBench):
    """Stripe, written by a document."""

    adapter_class = adapter_class(read(FILE.read_bytes(), FILE.name))
    covers = ("customers",)


_CHECKS = [one.run.__name__ for one in CHECKS if one.run.__module__.endswith(".writing")]
_WHOLE = conformance(DocumentBench)
TestWriting = type("TestWriting", (), {f"test_{name}": getattr(_WHOLE, f"test_{name}") for name in _CHECKS})


async def test_customers_are_found_by_what_they_hold() -> None:
    with DocumentBench() as bench:
        async with bench.open() as adapter:
            wanted = [customer for customer in bench.all("customers") if customer["email"]][:2]
            emails = [customer["email"] for customer in wanted]
            found = [page async for page in adapter.find("customers", "email", [*emails, emails[0], ""])]
            ids = [record.source_id for page in found for record in page.records]
            assert set(ids) >= {customer["id"] for customer in wanted}
            assert len(set(ids)) == len(ids)
            with pytest.raises(ConfigurationError, match="are found by phone"):
                [page async for page in adapter.find("customers", "phone", ["1"])]


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as running:
        yield running


FIND = {
    "id": "find",
    "method": "GET",
    "path": "/people",
    "parameters": {"email": "{{ body.contact.email }}"},
    "outputs": {"id": "{{ response.data[0].id }}"},
    "on_failure": [{"type": "goto", "step": "make", "http_codes": [404]}],
}
MAKE = {
    "id": "make",
    "method": "POST",
    "path": "/people",
    "when": "{{ not steps.find.outputs.id }}",
    "record": ["person"],
    "body": {"fields": {"source": "us"}},
    "success_criteria": ["{{ response.ok }}"],
    "outputs": {"id": "{{ response.id }}"},
}
TAG = {
    "id": "tag",
    "method": "PUT",
    "path": "/people/{{ steps.make.outputs.id }}/tags",
    "body": {"fields": {"t": 1}},
}
GONE = [{"type": "missing", "http_codes": [410]}, {"type": "applied", "predicate": "{{ response.same }}"}]


def people(**changed: Any) -> dict[str, Any]:
    write = {
        "fields": {"name": ["name"], "email": ["contact", "email"]},
        "create": {"steps": [FIND, MAKE], "id": "{{ steps.make.outputs.id or steps.find.outputs.id }}"},
        "update": {
            "steps": [
                {
                    "id": "change",
                    "method": "PATCH",
                    "path": "/people/{{ id }}",
                    "record": [],
                    "success_criteria": ["{{ not response.same }}"],
                    "on_failure": GONE,
                }
            ],
            "record": ["person"],
        },
        **changed,
    }
    stream = {
        "entity": "customers",
        "path": "/people",
        "records": ["data"],
        "one": "/people/{id}",
        "mapping": {
            "id": {"paths": ["id"]},
            "rules": [
                {"target": "name", "source": "name"},
                {"target": "email", "source": "contact.email"},
            ],
        },
        "write": write,
    }
    return desk(streams={"people": stream})


BODY = {"name": "Ada", "contact": {"email": "ada@acme.example"}}
ADA = {"id": "7", **BODY}
LOOK = "/people?email=ada%40acme.example"


async def written(api: Api, said: dict[str, Any], *writes: Write) -> list[Written]:
    async with opened(api, said) as adapter:
        return [one async for one in adapter.write("people", writes)]


async def _gathered(adapter: DocumentAdapter, write: Write, into: list[Written]) -> None:
    async for one in adapter.write("people", [write]):
        into.append(one)  # noqa: PERF401 - what came before an error counts


def shown(raw: RawRecord | None) -> Any:
    return None if raw is None else json.loads(bytes(raw.body))


def test_what_is_written_is_declared() -> None:
    made = adapter_class(read(json.dumps(people()).encode(), "desk.json"))
    assert made.capabilities == {Capability.READ, Capability.WRITE}
    assert made.stream("people").writable_fields == {"name", "email"}


async def test_a_record_is_looked_for_made_and_read_again(api: Api) -> None:
    api.answers |= {LOOK: {"data": []}, "/people": {"ok": True, "id": "7"}, "/people/7": ADA}
    (one,) = await written(api, people(), Write("create", None, BODY, "k1"))
    assert (one.outcome, one.source_id, shown(one.raw)) == ("applied", "7", ADA)
    assert [json.loads(body) for body in api.bodies] == [{"source": "us", "person": BODY}]
    # One that is there is not made again.
    api.answers[LOOK] = {"data": [ADA]}
    (one,) = await written(api, people(), Write("create", None, BODY, "k1"))
    assert (one.outcome, one.source_id, len(api.bodies)) == ("applied", "7", 1)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ({"person": ADA}, "applied"),
        ((410, {}, b"{}"), "missing"),
        ({"same": True}, "applied"),
        ((400, {}, b'{"message": "no such name"}'), "refused"),
    ],
)
async def test_what_an_answer_means_is_said_by_the_document(api: Api, answer: Any, outcome: str) -> None:
    api.answers["/people/7"] = answer
    (one,) = await written(api, people(), Write("update", "7", {"name": None}, "k2"))
    assert (one.outcome, one.source_id) == (outcome, "7")
    assert api.bodies == [b'{"name":null}']
    assert (one.reason or "").endswith("no such name") == (outcome == "refused")


async def test_a_criterion_that_is_not_met_is_a_refusal_and_says_what_took_effect(api: Api) -> None:
    api.answers |= {LOOK: (404, {}, b"{}"), "/people": Turns([{"ok": False}, {"ok": True, "id": "7"}])}
    (one,) = await written(api, people(), Write("create", None, BODY, "k1"))
    assert (one.outcome, "success criteria are not met" in str(one.reason)) == ("refused", True)
    api.answers["/people/7/tags"] = (400, {}, b'{"message": "no tags"}')
    said = people(create={"steps": [MAKE, TAG], "id": "{{ steps.make.outputs.id }}"})
    (one,) = await written(api, said, Write("create", None, BODY, "k1"))
    assert (one.outcome, str(one.reason).endswith("no tags; make before it took effect")) == ("refused", True)


async def test_a_creation_whose_answer_shows_no_record_is_unknown(api: Api) -> None:
    """Its later lookup compares what it finds with what was to be made."""
    api.answers["/people"] = (200, {}, b"<html>")
    make = {**MAKE, "success_criteria": [], "outputs": {}, "when": None}
    said = people(create={"steps": [make], "record": ["data"]}, find={"email": {"email": "{{ value }}"}})
    create = Write("create", None, BODY, "k1")
    reported: list[Written] = []
    async with opened(api, said) as adapter:
        with pytest.raises(UndecidedError):
            await _gathered(adapter, create, reported)
    assert [one.outcome for one in reported] == ["unknown"]
    again = Write("create", None, BODY, "k1", sent_at=adapter.clock())
    api.answers[LOOK] = {"data": [{**ADA, "id": "5", "name": "Ada B"}, ADA]}
    (one,) = await written(api, said, again)
    assert (one.outcome, one.source_id, len(api.bodies)) == ("applied", "7", 1)
    api.answers |= {LOOK: {"data": []}, "/people": {"data": ADA}}
    (one,) = await written(api, said, again)
    assert (one.outcome, one.source_id, len(api.bodies)) == ("applied", "7", 2)


@pytest.mark.parametrize("source_id", ["..", ".", "a/../b", "7?x=1"])
async def test_an_id_is_one_part_of_a_path_whatever_it_is(api: Api, source_id: str) -> None:
    with pytest.raises(NotFoundError):
        await written(api, people(), Write("update", source_id, {"name": "x"}, "k"))
    (asked,) = api.asked
    assert asked.count("/") == 2
    assert asked.startswith("/people/")
    assert "?" not in asked


async def test_a_path_with_a_part_that_is_missing_is_not_sent(api: Api) -> None:
    api.answers["/people"] = {"ok": True}
    said = people(create={"steps": [MAKE, {**TAG, "method": "DELETE", "body": None}], "id": "{{ 1 }}"})
    (one,) = await written(api, said, Write("create", None, BODY, "k1"))
    assert one.outcome == "refused"
    assert str(one.reason).endswith("comes to nothing, so nothing is sent; make before it took effect")
    assert api.asked == ["/people"]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"headers": {"x-name": "{{ body.name }}"}}, "the header x-name would hold"),
        ({"parameters": {"of": "{{ body.contact }}"}}, "takes an object for text"),
        ({"body": {"fields": {"n": "{{ steps.find.outputs.id }}"}}}, "more than 28 digits"),
    ],
)
async def test_what_can_not_be_sent_refuses_its_record_alone(
    api: Api, step: dict[str, Any], words: str
) -> None:
    api.answers |= {LOOK: (200, {}, b'{"data": [{"id": 1e99999999}]}'), "/people": {"ok": True, "id": "7"}}
    make = {**MAKE, "when": None, **step}
    said = people(create={"steps": [FIND, make], "id": "{{ 7 }}"})
    (one,) = await written(api, said, Write("create", None, {**BODY, "name": "Zoë"}, "k1"))
    assert (one.outcome, words in str(one.reason), api.bodies) == ("refused", True, [])


@pytest.mark.parametrize("then", [(503, {}, b"{}"), (403, {}, b"{}")])
async def test_a_change_that_stops_half_way_is_not_taken_for_undone(api: Api, then: Any) -> None:
    """By a later step, or where the record is read that was made."""
    api.answers |= {"/people": {"ok": True, "id": "7"}, "/people/7/tags": then, "/people/7": then}
    for steps in ([MAKE, TAG], [MAKE]):
        said = people(create={"steps": steps, "id": "{{ steps.make.outputs.id }}"})
        reported: list[Written] = []
        async with opened(api, said) as adapter:
            with pytest.raises(UndecidedError):
                await _gathered(adapter, Write("create", None, BODY, "k1"), reported)
        assert [one.outcome for one in reported] == ["unknown"]


async def test_no_secret_shows_in_what_a_write_says(api: Api) -> None:
    api.answers["/people/7"] = (400, {}, f'{{"message": "key {KEY} is odd"}}'.encode())
    (one,) = await written(api, people(), Write("update", "7", {"name": "x"}, "k"))
    assert KEY not in str(one.reason)
    (one,) = await written(api, people(), Write("delete", "7", {}, "k"))
    assert (one.outcome, "does not delete" in str(one.reason)) == ("refused", True)


STEP: dict[str, Any] = people()["streams"]["people"]["write"]["update"]["steps"][0]
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "a step that goes back": (
        {"create": {"steps": [MAKE, {**FIND, "id": "look"}], "id": "{{ 1 }}"}},
        "goes to 'make', which is no later step",
    ),
    "two steps of one name": ({"create": {"steps": [MAKE, MAKE], "id": "{{ 1 }}"}}, "two steps have the same id"),
    "a field of money": ({"fields": {"currency": ["c"]}}, "'currency' is not written"),
    "two fields in one place": ({"fields": {"name": ["a"], "email": ["a", "b"]}}, "two fields are written to one"),
    "no record": ({"create": {"steps": [MAKE]}}, "says neither by `record` nor by `id`"),
    "nothing that sends the fields": (
        {"create": {"steps": [FIND | {"on_failure": []}], "id": "{{ 1 }}"}}, "no step of create",
    ),
    "a body by DELETE": ({"delete": {"steps": [{**STEP, "method": "DELETE"}]}}, "DELETE has no body"),
    "a form with places": (
        {"update": {"steps": [{**STEP, "body": {"kind": "form"}}]}}, "a field lies below another, which a form",
    ),
    "a key that is not sent": ({"key_kept_seconds": 60}, "a step of create has no header"),
    "a secret in a step": (
        {"delete": {"steps": [{**STEP, "path": "/{{ secrets.api_key }}"}]}}, "there is no 'secrets'",
    ),
    "a handler of the credential": (
        {"update": {"steps": [{**STEP, "on_failure": [{"type": "missing", "http_codes": [401]}]}]}}, "the client's to",
    ),
    "a goto that leads nowhere": (
        {"update": {"steps": [{**STEP, "on_failure": [{"type": "goto", "http_codes": [404]}]}]}}, "where `goto` leads",
    ),
    "eleven steps": ({"delete": {"steps": [STEP] * 11}}, "at most 10"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_an_action_that_can_not_work_is_refused(fault: str) -> None:
    changed, words = FAULTS[fault]
    with pytest.raises(AdapterError, match=words):
        read(json.dumps(people(**changed)).encode(), "desk.json")
