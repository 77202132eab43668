"""Columns that a connection leaves out or hashes: its rules, compiled into functions of a raw record's JSON text.

A rule names a field of a stream's raw records by its keys, with dots between (``properties.email``), and is applied
before anything is stored, so that rows, raw records, rejects and received events are all made of what is left. Where
on the way there is a list, it holds for each item.

``omit`` empties a field and keeps its kind: null, ``[]`` or ``{}``. ``hash`` puts an HMAC-SHA256 by a key of the
workspace in the place of each text and number in it, so equal values still join. An e-mail address is compared without
case and becomes an address below ``test`` (RFC 2606), of a domain of its own, so nobody takes two customers for one
company's. Flags can't be hashed and are emptied.

Not here: where the rules and the key are kept (``unified.store``), and who applies them (``unified.sync.mapping``,
``unified.store.inbox.lookup``).
"""

import hmac
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from unified.kit.errors import ConfigurationError, MappingError
from unified.kit.mapping.column_rules import Rules, Treatment

Cut = Callable[[bytes | memoryview], bytes]
"""Makes of a record's JSON text what may be stored. It raises MappingError for what is not JSON."""

_Node = Mapping[str, Any]  # keys to nodes, or at a field's end to its treatment

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_EMPTY = {b"{": msgspec.Raw(b"{}"), b"[": msgspec.Raw(b"[]")}
_NULL = msgspec.Raw(b"null")

_HASHED = re.compile(r"hashed:([0-9a-f]{32})|hashed-([0-9a-f]{32})@[0-9a-f]{8}\.test")
_MAIL = re.compile(r"[^\s@]+@[^\s@]+")
# 96 bits: equal only where the values are, among any number of records. An address stays in the length of plain ones.
_DIGEST_BYTES, _MARK_BYTES = 12, 4


class Columns:
    """What one connection leaves out and hashes."""

    def __init__(
        self,
        rules: Rules | None = None,
        key: bytes | None = None,
        named: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        """Compile rules that :func:`check` accepts.

        Args:
            rules: By stream.
            key: The workspace's, to hash by. Without it what is hashed already stays, and nothing else can be hashed.
            named: How events name a field beside its value: the key that holds the name, with those that hold values.
        """
        self.rules: dict[str, dict[str, Treatment]] = {
            name: dict(of) for name, of in (rules or {}).items() if of
        }
        self._key = key
        self._trees = {name: _tree(of) for name, of in self.rules.items()}
        self._named = named or {}
        # By the field's own name: an event names it without the way that leads there.
        self._by_name = {
            path.rpartition(".")[2]: treatment for of in self.rules.values() for path, treatment in of.items()
        }

    @property
    def is_hashing(self) -> bool:
        """Whether any field is hashed, which takes the key."""
        return any(treatment == "hash" for of in self.rules.values() for treatment in of.values())

    def of(self, stream: str, *, is_log: bool = False) -> Cut | None:
        """What to do with a stream's records; None where nothing is.

        Args:
            stream: Its name.
            is_log: Whether its records are events, which hold records of other streams.
        """
        if is_log and self.rules:
            return self.event
        return (
            partial(self._cut, roots=[self._trees[stream]], anywhere=False) if stream in self._trees else None
        )

    def event(self, body: bytes | memoryview) -> bytes:
        """What may be stored of an event: it holds records of any stream somewhere, so all rules hold everywhere."""
        return self._cut(body, roots=list(self._trees.values()), anywhere=True)

    def kept_event(self, body: bytes) -> bytes:
        """The same, and an empty object in the place of what is not JSON."""
        try:
            return self.event(body)
        except MappingError:
            return b"{}"

    def _cut(self, body: bytes | memoryview, *, roots: Sequence[_Node], anywhere: bool) -> bytes:
        try:
            raw = msgspec.Raw(bytes(body).strip())
            if _kind(raw) in (b"{", b"["):
                return bytes(self._walk(raw, roots, roots if anywhere else ()))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            pass  # as below; the error may quote the record
        raise MappingError("it is not an object in JSON, so columns can't be left out of it: it is not kept")

    def _walk(self, raw: msgspec.Raw, nodes: Sequence[_Node], everywhere: Sequence[_Node]) -> msgspec.Raw:
        """A value of which some nodes say what is cut; ``everywhere`` are those that begin anew in each object."""
        if not nodes:
            return raw
        kind = _kind(raw)
        if kind == b"[":
            return _encoded([self._walk(item, nodes, everywhere) for item in _LIST.decode(raw)])
        if kind != b"{":
            return raw
        parts = _OBJECT.decode(raw)
        named = self._named_values(parts) if everywhere else {}
        for name, value in parts.items():
            found = [node[name] for node in nodes if name in node] + ([named[name]] if name in named else [])
            if "omit" in found:
                parts[name] = _EMPTY.get(_kind(value), _NULL)
            elif "hash" in found:
                parts[name] = self._hashed(value)
            else:
                parts[name] = self._walk(value, [*everywhere, *found], everywhere)
        return _encoded(parts)

    def _named_values(self, parts: Mapping[str, msgspec.Raw]) -> dict[str, Treatment]:
        """What becomes of an object's values whose field another value names: ``{"propertyName": "email", …}``."""
        found: dict[str, Treatment] = {}
        for name, values in self._named.items():
            if name in parts and _kind(parts[name]) == b'"':
                treatment = self._by_name.get(_TEXT.decode(parts[name]))
                if treatment is not None:
                    found |= dict.fromkeys(values, treatment)
        return found

    def _hashed(self, raw: msgspec.Raw) -> msgspec.Raw:
        kind = _kind(raw)
        if kind == b"{":
            return _encoded({name: self._hashed(value) for name, value in _OBJECT.decode(raw).items()})
        if kind == b"[":
            return _encoded([self._hashed(item) for item in _LIST.decode(raw)])
        if kind in (b"t", b"f", b"n"):
            return _NULL
        text = _TEXT.decode(raw) if kind == b'"' else bytes(raw).decode()
        return _encoded(self._token(text)) if text.strip() else raw

    def _token(self, text: str) -> str:
        """What stands in the place of a value. One that stands there already stays."""
        if self._is_own(text):
            return text
        if self._key is None:
            raise ConfigurationError(
                "values can't be hashed without the workspace's key; sync the connection first"
            )
        is_mail = _MAIL.fullmatch(text.strip()) is not None
        value = text.strip().casefold() if is_mail else text
        digest = hmac.digest(self._key, value.encode(errors="surrogatepass"), "sha256")[:_DIGEST_BYTES]
        token = (digest + self._mark(self._key, digest)).hex()
        return f"hashed-{token}@{token[:8]}.test" if is_mail else f"hashed:{token}"

    def _is_own(self, text: str) -> bool:
        """Whether a text was hashed here. It carries a proof, as a source may send anything that looks like it."""
        found = _HASHED.fullmatch(text)
        if found is None or self._key is None:
            return found is not None
        token = bytes.fromhex(found[1] or found[2])
        return hmac.compare_digest(token[_DIGEST_BYTES:], self._mark(self._key, token[:_DIGEST_BYTES]))

    @staticmethod
    def _mark(key: bytes, digest: bytes) -> bytes:
        return hmac.digest(key, b"\0mark" + digest, "sha256")[:_MARK_BYTES]


NO_COLUMNS = Columns()
"""Nothing is left out or hashed."""


def is_hashed(text: str) -> bool:
    """Whether a text has the form of a hashed value."""
    return _HASHED.fullmatch(text) is not None


def _tree(fields: Mapping[str, Treatment]) -> _Node:
    tree: dict[str, Any] = {}
    for field, treatment in fields.items():
        *way, last = field.split(".")
        node = tree
        for key in way:
            node = node.setdefault(key, {})
        node[last] = treatment
    return tree


def _kind(raw: msgspec.Raw) -> bytes:
    return bytes(memoryview(raw)[:1])


def _encoded(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
