"""A manifest's paginator as a document's, or :class:`Unconvertible` with the reason."""

import re
from typing import Any

from unified.kit.importing.airbyte.expressions import Translator, Unconvertible, keys_of
from unified.kit.importing.airbyte.manifest import PARAMETERS
from unified.kit.importing.airbyte.requests import Asked, Taker

Said = dict[str, Any]

_LINK = re.compile(r"""headers(?:\.|\[['"]|\.get\(['"])link""", re.IGNORECASE)
_HEADER = re.compile(r"""\bheaders(?:\.get\(\s*)?(?:\.|\[\s*)?['"]?[A-Za-z][\w-]*""")
_NOTHING = r"(?:is\s+(?:none|undefined|not\s+defined|false)|==\s*(?:none|None|null|''|\"\"|false|False))"
_MISSING = re.compile(rf"\{{\{{\s*(?:not\s+(?P<not>\S.*?)|(?P<is>\S.*?)\s+{_NOTHING})\s*\}}\}}", re.DOTALL)
_SAYS = re.compile(
    r"\{\{\s*(?P<is>\S.*?)(?:\s+(?:is\s+(?:true|defined)|==\s*(?:true|True)))?\s*\}\}", re.DOTALL
)

_WHAT = "the next page"


def paging(found: Any, asked: Asked, translator: Translator) -> Said:
    """The paginator; a page's size is put into ``asked`` where pages do not count."""
    strategy = found.get("pagination_strategy") if isinstance(found, dict) else None
    if not isinstance(strategy, dict) or found.get("type") == "NoPagination":
        return {"kind": "none"}
    option = found.get("page_token_option")
    option = option if isinstance(option, dict) else {}
    is_link = option.get("type") == "RequestPath"
    takes = None if is_link else asked.taker(option, _WHAT) if option else asked.token
    if takes is None and not is_link:
        raise Unconvertible("nothing says what of a request takes where the next page begins")
    size_option = found.get("page_size_option")
    size = _whole(strategy.get("page_size"))
    kind = strategy.get("type")
    if kind in ("PageIncrement", "OffsetIncrement"):
        return _numbered(
            strategy, takes, None if size_option is None else asked.taker(size_option, "its size")
        )
    if kind != "CursorPagination":
        raise Unconvertible(f"{kind}: documents have no such pages")
    if isinstance(size_option, dict) and strategy.get("page_size"):
        given = strategy.get(PARAMETERS, {})
        value = size if size is not None else translator.text(strategy["page_size"], given, what="page_size")
        asked.hold(size_option, value, "its size")
    return _cursor(strategy, takes, size, translator)


def _numbered(strategy: Said, takes: Taker | None, size_takes: Taker | None) -> Said:
    size = _whole(strategy.get("page_size"))
    if takes is None:
        raise Unconvertible(f"{strategy['type']}: a number is not a link")
    if strategy.get("page_size") and size is None:
        raise Unconvertible(
            f"{strategy['type']}: its pages have no fixed size, by which the last one is known"
        )
    is_page = strategy["type"] == "PageIncrement"
    # Without a size an empty page is the last.
    said: Said = {"kind": "page" if is_page else "offset", "parameter": takes, "size": size or 1}
    if is_page:
        said["first"] = _whole(strategy.get("start_from_page")) or 0
    return {**said, "size_parameter": size_takes} if size_takes and size else said


def _cursor(strategy: Said, takes: Taker | None, size: int | None, translator: Translator) -> Said:
    value, stop = strategy.get("cursor_value"), strategy.get("stop_condition")
    if takes is None and isinstance(value, str) and _LINK.search(value):
        return {"kind": "link_header"}
    flags = _flags(stop)
    token = keys_of(value, "response")
    if token and flags is not None:
        kept = {name: keys for name, keys in flags.items() if keys != list(token)}
        if takes is None:
            return {"kind": "next_link", "link": list(token), **kept}
        return {"kind": "token", "parameter": takes, "token": list(token), **kept}
    last = keys_of(value, "last_record")
    if last and takes is not None and flags is not None and "end" not in flags:
        said: Said = {"kind": "after_id", "parameter": takes, "id": list(last)}
        if flags:
            return said | flags
        if size is not None:
            return said | {"size": size}
    return _computed(strategy, takes, translator)


def _flags(stop: Any) -> Said | None:
    """The keys of the flag that says that more follows, or nothing; None of a condition that is more than a flag."""
    if not stop:
        return {}
    if not isinstance(stop, str):
        return None
    for kind, form in (("more", _MISSING), ("end", _SAYS)):
        if match := form.fullmatch(stop.strip()):
            inner = next(filter(None, match.groups()))
            keys = keys_of(f"{{{{ {inner} }}}}", "response")
            return None if keys is None else {kind: list(keys)}
    return None


def _computed(strategy: Said, takes: Taker | None, translator: Translator) -> Said:
    given = strategy.get(PARAMETERS, {})
    said: Said = {"kind": "computed", **({} if takes is None else {"parameter": takes})}
    for ours, theirs in (("value", "cursor_value"), ("stop", "stop_condition")):
        found = strategy.get(theirs)
        if found is None or found == "":
            continue
        text = translator.text(found, given, what=theirs)
        said[ours] = _HEADER.sub(lambda match: match[0].lower(), text)
    if "{{" not in said.get("value", ""):
        raise Unconvertible("CursorPagination: its cursor is the same for each page")
    return said


def _whole(said: Any) -> int | None:
    if isinstance(said, str) and said.isascii() and said.isdecimal() and len(said) < 8:  # noqa: PLR2004 - no page is larger
        return int(said)
    return said if isinstance(said, int) and not isinstance(said, bool) else None
