"""What a document may say: each fault has its line, and no secret leaves what is declared."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from unified.kit.declarations import Capability, ConnectionRef, Stream, Tenants
from unified.kit.document.engine import DocumentAdapter, adapter_class
from unified.kit.document.model import read
from unified.kit.document.published.reference import reference
from unified.kit.document.published.schema import FILE, published
from unified.kit.document.source import DocumentError
from unified.schema.entities import RECORDS
from unified.schema.record import UnifiedRecord

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
PAGE = Path(__file__).parents[4] / "docs" / "documents.md"

DESK: dict[str, Any] = {
    "engine": 1,
    "id": "desk",
    "version": "1.0.0",
    "title": "Desk",
    "hosts": ["api.desk.example"],
    "base_url": "https://api.desk.example",
    "auth": {"kind": "bearer", "secret": {"label": "API key", "hint": "begins with desk_"}},
    "requests_per_second": 50,
    "streams": {
        "teams": {
            "entity": "records",
            "path": "/teams",
            "mapping": {"id": {"paths": ["id"]}, "rules": [{"target": "name", "source": "title"}]},
        }
    },
}
OAUTH = {
    "kind": "oauth",
    "token_url": "https://api.desk.example/token",
    "authorize_url": "https://api.desk.example/authorize",
}


def desk(**changed: Any) -> dict[str, Any]:
    """A document with some changes; those of its only stream in ``stream``."""
    said = deepcopy(DESK)
    said["streams"]["teams"] |= changed.pop("stream", {})
    return {**said, **changed}


def reading(**changed: Any) -> Any:
    return read(json.dumps(desk(**changed), indent=1).encode(), "desk.json")


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"streem": 1}, r"desk\.json:\d+: streem: "),
    "an engine to come": ({"engine": 2}, "engine: Input should be 1"),
    "plain http": ({"base_url": "http://api.desk.example"}, "base_url: "),
    "a secret outside auth": ({"headers": {"x": "{{ secrets.api_key }}"}}, "there is no 'secrets'"),
    "a secret in a path": ({"stream": {"path": "/{{ credentials.api_key }}"}}, "there is no 'credentials'"),
    "a statement": ({"stream": {"path": "/{% if 1 %}{% endif %}"}}, "no statements"),
    "a circle of parents": (
        {"stream": {"partition": {"stream": "teams", "parent_key": ["id"], "partition_field": "team"}}},
        "lead in a circle",
    ),
    "a parent that is not there": (
        {"stream": {"partition": {"stream": "x", "parent_key": ["id"], "partition_field": "team"}}},
        "no stream 'x'",
    ),
    "a token endpoint elsewhere": (
        {"auth": {**OAUTH, "token_url": "https://attacker.example/token"}},
        "attacker.example is not among `hosts`",
    ),
    "companies listed elsewhere": (
        {"auth": {**OAUTH, "companies": {"url": "https://attacker.example/sites", "setting": "site"}}},
        "attacker.example is not among `hosts`",
    ),
    "a company that no setting takes": (
        {"auth": {**OAUTH, "companies": {"url": "/sites", "setting": "site"}}},
        "no setting 'site'",
    ),
    "a secret named as a setting": (
        {"settings": {"api_key": {"description": "x"}}},
        "have the same name",
    ),
    "a rule for no field": (
        {"stream": {"mapping": {"id": {"paths": ["id"]}, "rules": [{"target": "emial", "source": "x"}]}}},
        "a rule can't fill 'emial'",
    ),
    "a handler for nothing": ({"refusals": {"handlers": [{"action": "RETRY"}]}}, "say for which answers"),
    "changes over the edges of numbered pages": (
        {
            "stream": {
                "paging": {"kind": "page", "parameter": "page", "size": 2},
                "changes": {"parameter": "since"},
            }
        },
        "`changes.changed_at` says",
    ),
    "a secret in a computed page": (
        {"stream": {"paging": {"kind": "computed", "value": "{{ secrets.api_key }}"}}},
        "there is no 'secrets'",
    ),
    "changes over the edges of computed pages": (
        {
            "stream": {
                "paging": {"kind": "computed", "value": "{{ response.next }}"},
                "changes": {"parameter": "since"},
            }
        },
        "numbered or computed",
    ),
    "a step without an end": (
        {"stream": {"changes": {"parameter": "since", "step_seconds": 60}}},
        "needs `end_parameter`",
    ),
    "a step that does not move on": (
        {
            "stream": {
                "changes": {
                    "parameter": "a",
                    "end_parameter": "b",
                    "step_seconds": 60,
                    "granularity_seconds": 60,
                }
            }
        },
        "would not move on",
    ),
    "a format that grows": (
        {"stream": {"changes": {"parameter": "since", "format": "%99999999Y"}}},
        "neither iso, epoch",
    ),
    "what partitions remember of one list": (
        {"stream": {"changes": {"parameter": "since", "per_partition": True}}},
        "for streams with a partition",
    ),
    "two values of one name": (
        {"stream": {"partition": [{"values": ["a"], "partition_field": "x"}] * 2}},
        "the same partition_field",
    ),
    "a mapping that knows what time it is": (
        {"stream": {"filter": "{{ record.at > now_utc() }}"}},
        "no function 'now_utc'",
    ),
    "a path that is none": ({"stream": {"records": "a..b..c"}}, "descends"),
    "an expression for a path": (
        {"stream": {"records": "{{ settings.a }}"}},
        "is not a path but an expression",
    ),
    "lines that say where a list goes on": (
        {
            "stream": {
                "decoder": {"kind": "csv"},
                "paging": {"kind": "token", "parameter": "a", "token": ["b"]},
            }
        },
        "csv does not say how a list goes on",
    ),
    "records within lines": (
        {"stream": {"decoder": {"kind": "jsonl"}, "records": ["a"]}},
        "each line is a record",
    ),
    "a body by GET": ({"stream": {"body": {}}}, "a body is sent by POST"),
    "a place in a body that is not there": (
        {"stream": {"paging": {"kind": "token", "parameter": ["a", "b"], "token": ["next"]}}},
        r"a\.b is a place in a body, and there is no `body`",
    ),
    "a place below a field of a form": (
        {
            "stream": {
                "method": "POST",
                "body": {"kind": "form"},
                "changes": {"parameter": ["a", "b"]},
            }
        },
        r"a\.b lies below another field",
    ),
    "a form with more than texts": (
        {"stream": {"method": "POST", "body": {"kind": "form", "fields": {"a": [1]}}}},
        "fields of a form are texts",
    ),
    "a secret in a body": (
        {"stream": {"method": "POST", "body": {"fields": {"a": {"b": ["{{ secrets.api_key }}"]}}}}},
        "there is no 'secrets'",
    ),
    "a text that is too long for a body": (
        {"stream": {"method": "POST", "body": {"fields": {"a": "x" * 20_001}}}},
        "text of its body is too long",
    ),
    "ids that repeat in a body": (
        {"stream": {"method": "POST", "body": {}, "many": {"parameter": ["ids"], "format": "repeat"}}},
        "can't repeat a place in the body",
    ),
    "a key in a body that is not sent": (
        {"auth": {"kind": "key", "place": "body", "secret": DESK["auth"]["secret"]}},
        r"stream teams: the key goes into a body; say `method: POST` and `body`, be it `\{\}`$",
    ),
    "a key in a body, and a probe without one": (
        {"auth": {"kind": "key", "place": "body", "secret": DESK["auth"]["secret"]}, "test": {"path": "/me"}},
        "test: the key goes into a body",
    ),
    "a key in a body, and single records without one": (
        {
            "auth": {"kind": "key", "place": "body", "secret": DESK["auth"]["secret"]},
            "stream": {"method": "POST", "body": {}, "one": "/teams/{id}"},
        },
        "`one` asks by GET",
    ),
    "a header that is the client's to say": ({"headers": {"Host": "a.example"}}, "which the client does"),
    "a header of two words": ({"headers": {"X Team": "a"}}, "should match pattern"),
    "a word that YAML takes for false": (
        {"stream": {"mapping": {"id": {"paths": [False]}, "rules": []}}},
        r"paths\.0: it should be text; put it in quotes[^;]*$",
    ),
    "a class of Python": (
        {"stream": {"class_name": "os.system"}},
        "class_name: there is no such key; there are body, ",
    ),
    "a host with a port": (
        {"hosts": ["127.0.0.1:80"]},
        r"hosts\.0: it should be a host by its name, such as",
    ),
    "a base URL over http": (
        {"base_url": "http://desk.example"},
        "base_url: it should be a URL that begins with https",
    ),
    "a version of two numbers": ({"version": "1.0"}, "version: it should be three numbers, such as 1.0.0"),
    "a link to documentation over http": (
        {"documentation": "http://desk.example"},
        "documentation: it should be a URL that begins with https",
    ),
    "a stream named in capitals": (
        {"streams": {"Teams": {}}},
        r"Teams\.\[key\]: it should be at most 40 lower-case letters",
    ),
    "a query in a path": ({"stream": {"path": "/x?a=1"}}, "neither . nor #; a query goes into `parameters`"),
    "a query in the path of one record": (
        {"stream": {"one": "/x?a=1"}},
        r"teams\.one: it should be a path that begins with /",
    ),
    "a misspelt key": (
        {"bass_url": "https://a.example"},
        "bass_url: there is no such key; did you mean base_url\\?$",
    ),
    "a misspelt key of a stream": (
        {"stream": {"pagng": {}}},
        r"teams\.pagng: there is no such key; did you mean paging",
    ),
    "a misspelt key of one kind of paging": (
        {"stream": {"paging": {"kind": "token", "paramter": "after", "token": ["next"]}}},
        r"paging\.token\.paramter: there is no such key; did you mean parameter\?",
    ),
    "a misspelt key of one of several partitions": (
        {"stream": {"partition": [{"values": ["a"], "partition_feild": "of"}]}},
        r"partition_feild: there is no such key; did you mean partition_field\?",
    ),
    "a misspelt key of a step": (
        {
            "stream": {
                "mapping": {
                    "id": {"paths": ["id"]},
                    "rules": [{"target": "name", "source": "n", "steps": [{"do": "enum", "tabel": {}}]}],
                }
            }
        },
        r"steps\.0\.enum\.tabel: there is no such key; did you mean table\?",
    ),
    "a pattern that backtracks": (
        {"settings": {"site": {"description": "x", "pattern": "(?=a)b"}}},
        "without look-around",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_said_with_its_file_and_line(fault: str) -> None:
    changed, said = FAULTS[fault]
    with pytest.raises(DocumentError, match=said) as caught:
        reading(**changed)
    assert str(caught.value).startswith("desk.json:")
    assert "\n" not in str(caught.value)
    assert "Value error" not in str(caught.value)


def test_the_hash_is_of_what_is_said() -> None:
    text = json.dumps(DESK)
    other = json.dumps(dict(reversed(DESK.items())), indent=3)
    assert read(text.encode(), "a").hash == read(other.encode(), "b").hash
    assert reading(version="1.0.1").hash != reading().hash


@pytest.mark.parametrize(
    ("auth", "kind", "fields", "has_oauth"),
    [
        (DESK["auth"], "bearer_token", ["api_key"], False),
        ({"kind": "none"}, "api_key", [], False),
        (OAUTH, "oauth_token", [], True),
        ({"kind": "choice", "key": DESK["auth"], "oauth": OAUTH}, "bearer_token", ["api_key"], True),
    ],
)
def test_auth_is_declared_as_every_adapter_declares_it(
    auth: dict[str, Any], kind: str, fields: list[str], *, has_oauth: bool
) -> None:
    adapter = adapter_class(reading(auth=auth))
    assert adapter.credential_kind == kind
    assert [field.name for field in adapter.credential_fields] == fields
    assert (adapter.oauth is not None) == has_oauth


def test_the_companies_of_a_grant_and_its_ends_are_declared() -> None:
    listed = {"url": "/sites", "setting": "site", "id": "key"}
    ends = {"reuse_revokes": True, "unused_days": 90, "lasts_days": 365}
    said = reading(settings={"site": {"description": "x"}}, auth={**OAUTH, "companies": listed, **ends})
    oauth = adapter_class(said).oauth
    assert oauth is not None
    assert (oauth.tenants, oauth.reuse_revokes) == (Tenants("/sites", "site", "key", "name"), True)
    assert (oauth.refresh_unused, oauth.lasts) == (timedelta(days=90), timedelta(days=365))


class InPython(DocumentAdapter, document=reading()):
    """What the document says, and more."""

    display_name = "Desk and more"
    capabilities = frozenset({Capability.READ})
    streams = (
        Stream("notes", RECORDS, to_unified=lambda raw, origin: UnifiedRecord(**origin.identify(raw["id"]))),
    )


def test_a_class_says_what_a_document_can_not() -> None:
    made = adapter_class(reading())
    assert (InPython.name, InPython.display_name) == (made.name, "Desk and more")
    assert [one.name for one in InPython.streams] == ["teams", "notes"]
    assert made.display_name == "Desk"
    adapter = InPython(
        InPython.config_model(), {}, ConnectionRef(UUID(int=1), UUID(int=2), "acme/desk"), clock=lambda: NOW
    )
    for stream, body in (("teams", b'{"id": 1, "title": "A"}'), ("notes", b'{"id": "n"}')):
        adapter.map_record(stream, body, adapter.origin(stream, NOW, NOW))
    # A process that maps finds it by its name: the document alone would be another adapter.
    assert InPython.made_by() is None
    made_again = made.made_by()
    assert made_again is not None
    assert made_again() is made


def test_the_page_holds_the_reference_and_an_example_that_can_be_read() -> None:
    page = PAGE.read_text()
    assert page.endswith(f"\n{reference()}"), (
        "run `python -m unified.kit.document.published.reference`, and put it into the page"
    )
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert list(read(example.encode(), PAGE.name).said.streams) == ["customers", "tickets"]


def test_the_published_schema_is_that_of_the_models() -> None:
    assert FILE.read_text() == published(), "run `python -m unified.kit.document.published.schema`"
