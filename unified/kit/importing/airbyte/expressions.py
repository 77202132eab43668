"""The expressions of a manifest in the words of a document: settings, partitions, and parameters written out.

Nothing is evaluated here. What a document's expressions do not have is refused where the document is read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unified.kit.importing.names import slug

_EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_KEY = r"""(?:\.get\(\s*['"](?P<got>[^'"]+)['"]|\[\s*['"](?P<key>[^'"]+)['"]\s*\]|\.(?P<name>[A-Za-z_]\w*)(?!\w|\())"""
_OF = {
    what: re.compile(rf"\b(?:{names})\s*{_KEY}")
    for what, names in {
        "config": "config",
        "parameters": r"parameters|options|\$parameters",
        "partition": r"stream_partition|stream_slice(?:\.parent_slice)?",
    }.items()
}
_BARE = re.compile(
    r"\b(config|parameters|stream_partition|stream_slice|stream_interval|stream_state|next_page_token)\b"
)


class Unconvertible(ValueError):  # noqa: N818 - it is the outcome for one stream, not a fault of the program
    """Why a stream can't become one of a document."""


@dataclass
class Translator:
    """Translates texts. It remembers which settings they name.

    Attributes:
        secret: Names of settings that are secrets; no text but an authenticator's may name one.
        settings: Those that were named, as the manifest calls them.
    """

    secret: frozenset[str]
    settings: set[str] = field(default_factory=set)

    def text(self, said: Any, parameters: Mapping[str, Any], *, what: str) -> str:
        """A text in the document's words.

        Args:
            said: Text, or a number.
            parameters: What its component was given.
            what: For errors.

        Raises:
            Unconvertible: If it names what a document's expressions can't.
        """
        if isinstance(said, bool) or not isinstance(said, str | int):
            raise Unconvertible(f"{what}: a text was expected")
        return _EXPRESSION.sub(lambda match: self._one(match[1], parameters, what), str(said))

    def _one(self, inner: str, parameters: Mapping[str, Any], what: str) -> str:
        whole = _OF["parameters"].fullmatch(inner.strip())
        if whole is not None:
            value = _value(parameters, _name(whole), what)
            if "{{" in value:
                raise Unconvertible(f"{what}: a parameter holds an expression")
            return value
        inner = _OF["parameters"].sub(lambda m: _literal(_value(parameters, _name(m), what), m), inner)
        inner = _OF["config"].sub(lambda m: self._setting(m, what), inner)
        inner = _OF["partition"].sub(lambda m: _renamed("partition", m), inner)
        if rest := _BARE.search(_without_texts(inner)):
            raise Unconvertible(f"{what}: a document's expressions have no {rest[1]} there")
        return f"{{{{{inner}}}}}"

    def _setting(self, match: re.Match[str], what: str) -> str:
        name = _name(match)
        if name in self.secret:
            raise Unconvertible(f"{what}: the secret {name!r} stands outside of the authenticator")
        self.settings.add(name)
        return _renamed("settings", match)


def only_setting(said: Any) -> str | None:
    """The setting that a text consists of, such as ``{{ config['api_key'] }}``."""
    found = _EXPRESSION.fullmatch(said.strip()) if isinstance(said, str) else None
    whole = _OF["config"].fullmatch(found[1].strip()) if found else None
    return None if whole is None else _name(whole)


def only_expression(said: str) -> str | None:
    """What stands in a text that is one expression."""
    found = _EXPRESSION.fullmatch(said.strip())
    return None if found is None else found[1].strip()


def as_secrets(said: Any) -> tuple[str, set[str]]:
    """What a login sends, in the words of a document's, and the settings that are its secrets."""
    if isinstance(said, bool) or not isinstance(said, str | int):
        raise Unconvertible("a login sends what is not a text")
    names: set[str] = set()

    def secret(match: re.Match[str]) -> str:
        names.add(_name(match))
        return _renamed("secrets", match)

    def inside(match: re.Match[str]) -> str:
        return f"{{{{{_OF['config'].sub(secret, match[1])}}}}}"

    return _EXPRESSION.sub(inside, str(said)), names


def keys_of(said: Any, root: str) -> tuple[str, ...] | None:
    """The keys that an expression walks from a name, such as ``response.meta['next']``; None where it does more."""
    found = _EXPRESSION.fullmatch(said.strip()) if isinstance(said, str) else None
    if found is None:
        return None
    inner = found[1].strip()
    if not re.match(rf"{root}\b", inner):
        return None
    place, keys = len(root), []
    step = re.compile(
        r"""\.get\(\s*['"]([^'"]+)['"]\s*(?:,\s*(?:\{\}|none|None|''|""))?\s*\)|\[\s*['"]([^'"]+)['"]\s*\]|\.([A-Za-z_]\w*)"""
    )
    while place < len(inner):
        match = step.match(inner, place)
        if match is None:
            return None
        keys.append(next(filter(None, match.groups())))
        place = match.end()
    return tuple(keys) or None


def path_of(keys: list[str]) -> str:
    """Keys and wildcards as a path."""
    quoted = [one.replace("\\", "\\\\").replace("'", "\\'") for one in keys]
    return "$" + "".join("[*]" if one == "*" else f"['{one}']" for one in quoted)


def _name(match: re.Match[str]) -> str:
    return match["got"] or match["key"] or match["name"]


def _renamed(root: str, match: re.Match[str]) -> str:
    name = slug(_name(match))
    return f"{root}.get('{name}'" if match["got"] else f"{root}.{name}"


def _literal(value: str, match: re.Match[str]) -> str:
    if match["got"]:
        raise Unconvertible(
            f"the parameter {match['got']!r} is asked for with .get() inside a longer expression"
        )
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _value(parameters: Mapping[str, Any], name: str, what: str) -> str:
    value = parameters.get(name, "")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Unconvertible(f"{what}: the parameter {name!r} is not a text")
    return str(value)


def _without_texts(inner: str) -> str:
    return re.sub(r"'[^']*'|\"[^\"]*\"", "", inner)
