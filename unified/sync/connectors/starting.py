"""A connector document to begin with: commented YAML, a made-up exchange that it passes, and a README.

What it says is usual, and stands there to be changed. Of an API that others described there is more to begin with:
:mod:`unified.kit.importing`.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
import yaml

from unified.kit.errors import ConfigurationError
from unified.kit.importing.landing import entity_named
from unified.kit.importing.names import slug
from unified.sync.connectors.files import DOCUMENT, EXCHANGES
from unified.sync.connectors.usual import AUTH, PAGING, SIZE, AuthKind, PagingKind

_NOW = "2026-01-01T12:00:00Z"
_USER, _SECRET = "fake_user", "fake_secret"


@dataclass(frozen=True, slots=True)
class Start:
    """What is known of an API before its document is written.

    Attributes:
        name: What the connector is to be called.
        base_url: Where the API lives.
        auth: How requests prove who sends them.
        paging: How its lists go on.
        path: The first list, below the base URL.
        records: Keys from an answer's top down to the list; none where the answer is the list.
    """

    name: str
    base_url: str
    auth: AuthKind
    paging: PagingKind
    path: str
    records: tuple[str, ...]

    @property
    def stream(self) -> str:
        """What the first stream is called: the last part of its path that is a word."""
        return slug(self.path.split("{")[0].rstrip("/").rpartition("/")[2] or "records")

    def files(self) -> dict[str, str]:
        """The files of a document's folder, by name.

        Raises:
            ConfigurationError: If an answer that is a list has no place for what says how it goes on, or the path is
                of one record.
        """
        if self.paging in _NEXT and not self.records:
            raise ConfigurationError(
                f"paging {self.paging} reads an answer's {_NEXT[self.paging]}, and an answer that is the list itself "
                "has none; name the keys to the list, or use another kind of paging"
            )
        if not self.path.startswith("/") or any(sign in self.path for sign in "?#{"):
            raise ConfigurationError(
                f"{self.path!r} is not the path of a list: it begins with / and has no query and no {{}}"
            )
        return {DOCUMENT: self._document(), EXCHANGES: self._exchanges(), "README.md": self._readme()}

    def _document(self) -> str:
        entity = entity_named(self.stream)
        return _DOCUMENT.substitute(
            name=self.name,
            title=self._title,
            host=urlsplit(self.base_url).hostname,
            base_url=_inline(self.base_url.rstrip("/")),
            auth=AUTH[self.auth],
            stream=self.stream,
            entity=entity,
            path=_inline(self.path),
            records=_inline(list(self.records)),
            paging=PAGING[self.paging],
            parameters=f'    parameters: {{limit: "{SIZE}"}}\n' if self.paging in _SIZED else "",
            rules=_RULES[entity],
        )

    def _exchanges(self) -> str:
        entity = entity_named(self.stream)
        url = f"{self.base_url.rstrip('/')}{self.path}"
        exchanges: list[dict[str, Any]] = [
            {
                "url": f"{url}?{urlencode(query)}" if query else url,
                "sends": _SENDS[self.auth],
                "body": self._answer([] if number else [{"id": "1", **_EXAMPLE[entity]}]),
            }
            for number, query in enumerate(_ASKED.get(self.paging, ({},)))
        ]
        login = {
            "method": "POST",
            "url": f"{self.base_url.rstrip('/')}/login",
            "json": {"user": _USER, "password": _SECRET},
            "body": {"token": "fake_token"},
        }
        said = {
            "now": _NOW,
            "settings": {},
            "secrets": _SECRETS[self.auth],
            "streams": {
                self.stream: [
                    {
                        "exchanges": [login, *exchanges] if self.auth == "session" else exchanges,
                        "records": {"1": _EXPECTED[entity]},
                    }
                ]
            },
        }
        return msgspec.json.format(msgspec.json.encode(said), indent=2).decode() + "\n"

    def _answer(self, records: list[dict[str, str]]) -> Any:
        """A page's answer: the list below its keys, beside what says that nothing follows."""
        answer: Any = records
        for place, key in enumerate(reversed(self.records), 1):
            is_whole = place == len(self.records)
            following = {_NEXT[self.paging]: None} if is_whole and self.paging in _NEXT else {}
            answer = {key: answer, **following}
        return answer

    def _readme(self) -> str:
        return _README.substitute(title=self._title, stream=self.stream, entity=entity_named(self.stream))

    @property
    def _title(self) -> str:
        return self.name.replace("_", " ").title()


def _inline(value: Any) -> str:
    """A value as YAML writes it within a line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return text.removesuffix("\n").removesuffix("\n...")


_DOCUMENT = Template("""\
# What each word may say is in docs/documents.md. `unified connectors test .` in this folder checks it.
engine: 1
id: $name
version: 1.0.0
title: $title
# To these hosts requests and secrets may go, and to no other. `*.example.com` takes all below it.
hosts: [$host]
base_url: $base_url
# What a connection says of itself besides its secrets; read as {{ settings.site }} in paths, parameters and base_url.
# settings:
#   site: {description: The first part of your address., pattern: "[a-z0-9-]+"}
$auth
# What the API allows. It is kept to by all processes together.
requests_per_second: 5
# Asked when somebody adds a connection, to say whose account its secret opens.
# test: {path: /me, id: [id], name: [name]}
streams:
  $stream:
    # The table that its records land in: customers, invoices, events or records.
    entity: $entity
    path: $path
$parameters\
    # Keys from an answer's top down to the list; [] where the answer is the list.
    records: $records
$paging
    # With this, the first pull reads all and the others what changed since the last one began.
    # changes: {parameter: updated_since, lookback_seconds: 60}
    # A single record, for webhooks and single reads.
    # one: $path/{id}
    mapping:
      # What makes a record the same one tomorrow.
      id: {paths: [id]}
      # Where the API says that a record is gone.
      # tombstone: {path: deleted_at, at: deleted_at}
      # Rules (docs/rules.md): which field of ours is which of theirs. What has none stays in the raw record.
      rules:
$rules""")

_SECRETS: Mapping[AuthKind, dict[str, str]] = {
    "none": {},
    "bearer": {"token": _SECRET},
    "key": {"api_key": _SECRET},
    "basic": {"user": _USER, "password": _SECRET},
    "session": {"user": _USER, "password": _SECRET},
}
_SENDS: Mapping[AuthKind, dict[str, str]] = {
    "none": {},
    "bearer": {"authorization": f"Bearer {_SECRET}"},
    "key": {"x-api-key": _SECRET},
    "basic": {"authorization": f"Basic {b64encode(f'{_USER}:{_SECRET}'.encode()).decode()}"},
    "session": {"authorization": "Bearer fake_token"},
}

_NEXT: Mapping[PagingKind, str] = {"token": "next_cursor", "next_link": "next"}
_SIZED: tuple[PagingKind, ...] = ("after_id",)
# The queries of each page, where there are any. Less than was asked for may be all that an API gives, so that another
# page is asked for, which is empty.
_ASKED: Mapping[PagingKind, Sequence[dict[str, str]]] = {
    "page": [{"page": page, "per_page": str(SIZE)} for page in ("1", "2")],
    "offset": [{"offset": offset, "limit": str(SIZE)} for offset in ("0", "1")],
    "after_id": [{"limit": str(SIZE)}, {"limit": str(SIZE), "starting_after": "1"}],
}

_RULES: Mapping[str, str] = {
    "customers": """\
        - {target: name, source: name}
        - {target: email, source: email}
""",
    "invoices": """\
        - {target: invoice_number, source: number}
        - {target: customer_id, source: customer_id}
        - {target: currency, source: currency}
        # Whole units of the currency; of cents it is `unit: minor`.
        - {target: total, source: total, steps: [{do: money, unit: major, currency: currency}]}
""",
    "events": """\
        - {target: event_type, source: type}
        - {target: occurred_at, source: created_at}
""",
    "records": """\
        - {target: name, source: name}
        - {target: updated_at, source: updated_at}
""",
}
_EXAMPLE: Mapping[str, dict[str, str]] = {
    "customers": {"name": "Ann Ash", "email": "ann@example.com"},
    "invoices": {"number": "2026-1", "customer_id": "7", "currency": "EUR", "total": "19.90"},
    "events": {"type": "signed_in", "created_at": _NOW},
    "records": {"name": "A first record", "updated_at": _NOW},
}
_EXPECTED: Mapping[str, dict[str, str]] = {
    "customers": _EXAMPLE["customers"],
    "invoices": {"invoice_number": "2026-1", "customer_id": "7", "currency": "EUR", "total": "19.90"},
    "events": {"event_type": "signed_in", "occurred_at": _NOW},
    "records": _EXAMPLE["records"],
}

_README = Template("""\
# $title

| stream | lands in | read |
|---|---|---|
| `$stream` | $entity | all, each pull |

**Secret**: which one, who may make it, and which rights it needs.

`exchanges.json` holds a request that is made up. Put real answers in its place, with made-up secrets and names, and say
in `records` what has to come of them; `unified connectors test .` tries them, offline.
""")
