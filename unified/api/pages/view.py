"""From values to HTML: the templates, what they may call, and the headers of every page."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unified.api.management.problems import Problem
from unified.kit.errors import counted

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "x-frame-options": "DENY",
}
"""Beside those that `unified.api.management.edge` adds to every answer. Scripts are not allowed."""

_WITH_SCRIPT = {
    "content-security-policy": f"{HEADERS['content-security-policy']}; script-src 'self'; connect-src 'self'"
}
"""Of a page with a script: one of ours, from a file."""

CONNECTIONS_SUGGESTED = 200
"""How many names a field for a connection offers; any other can be typed."""

_STEPS = (("day", 86_400), ("hour", 3_600), ("minute", 60))

_templates = Environment(
    loader=PackageLoader("unified.api.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(
    request: Request,
    template: str,
    status: int = 200,
    *,
    problem: Problem | None = None,
    script: str | None = None,
    **values: Any,
) -> HTMLResponse:
    """A page.

    Args:
        request: What it answers; says who is signed in.
        template: File of `templates/`.
        status: Of HTTP, unless there is a problem, which has its own.
        problem: Why a form was not carried out, to be shown on the page.
        script: File of `assets/` that the page loads; by default none, and its policy allows none.
        **values: What the template shows, beside who looks at it and what they may do.
    """
    visitor = getattr(request.state, "visitor", None)
    html = _templates.get_template(template).render(
        visitor=visitor,
        path=request.url.path,
        problem=problem.in_full if problem else None,
        script=script,
        may=lambda permission: visitor is not None and permission in visitor.caller.permissions,
        **values,
    )
    return HTMLResponse(
        html, problem.status if problem else status, HEADERS | _WITH_SCRIPT if script else HEADERS
    )


def fragment(template: str, **values: Any) -> str:
    """A part of a page, for one that is open already; it is the same for all who may see it."""
    return _templates.get_template(template).render(**values)


def error_page(request: Request, problem: Problem) -> Response:
    """A refusal, for people."""
    title = _TITLES.get(problem.status) or HTTPStatus(problem.status).phrase
    page = render(request, "error.html", problem.status, title=title, detail=problem.detail)
    page.headers.update(problem.headers)
    return page


_TITLES = {
    403: "Not permitted",
    404: "Not found",
    405: "Not possible here",
    413: "Too large",
    429: "Too many requests",
    500: "Something went wrong",
    503: "Not available right now",
}


def see_other(path: str) -> Response:
    """Go on to another page, after a form was carried out."""
    return RedirectResponse(path, 303, HEADERS)


def _when(moment: datetime | None, *, never: str = "never") -> Markup | str:
    """A time as people say it, with the exact one behind it."""
    if moment is None:
        return never
    exact = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        moment.isoformat(), exact, _distance(moment - datetime.now(UTC)) or exact
    )


def _distance(away: timedelta) -> str:
    """How far a time is away; nothing beyond a month, where a date says more."""
    seconds = round(abs(away.total_seconds()))
    if seconds > 30 * 86_400:
        return ""
    for unit, length in _STEPS:
        if (number := seconds // length) > 0:
            text = f"{number} {unit}{'s' * (number > 1)}"
            return f"in {text}" if away > timedelta() else f"{text} ago"
    return "just now"


def _every(interval: timedelta) -> str:
    """An interval as people say it."""
    seconds = int(interval.total_seconds())
    for unit, length in _STEPS:
        if seconds % length == 0:
            number = seconds // length
            return f"every {unit}" if number == 1 else f"every {number} {unit}s"
    return f"every {seconds} seconds"


def _lasted(entry: Any) -> str:
    """How long a pull took."""
    if entry.finished_at is None:
        return "running"
    seconds = (entry.finished_at - entry.started_at).total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 - a minute


def _sentence(text: str) -> str:
    """Text with a capital at its beginning; the rest stays, names above all."""
    return f"{text[:1].upper()}{text[1:]}"


def _number(value: int) -> str:
    return f"{value:,}"


def _share(value: float | None) -> str:
    """A share as people say it; only all is 100 %."""
    return "" if value is None else f"{int(100 * value)} %"


def _size(count: int | None) -> str:
    """Disk space as people say it."""
    if count is None:
        return "not known yet"
    left = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if left < 1_024:  # noqa: PLR2004 - of binary units
            return f"{left:.0f} {unit}"
        left /= 1_024
    return f"{left:.1f} TiB"


def _plain(value: Any) -> str:
    """A setting as people say it, or type it into a form."""
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value))
        case dict():
            return msgspec.json.encode(value).decode()
        case _:
            return str(value)


def _label(name: str) -> str:
    """A field's name as people write it."""
    return name.replace("_", " ").capitalize().replace("url", "URL")


def _is_empty(value: Any) -> bool:
    """Whether a field has no value; 0 and no are values."""
    kept = bytes(value) if isinstance(value, msgspec.Raw) else value
    return kept in (None, "", b"null", b"[]", b"{}", [], {}, ())


def _field(value: Any) -> Markup | str:
    """A record's value: amounts exact, times as people say them, what is nested as JSON."""
    match value:
        case None:
            return ""
        case datetime():
            return _when(value)
        case Decimal():
            return f"{value:f}"
        case list() | dict() | tuple():
            return indented(msgspec.Raw(msgspec.json.encode(value)))
        case msgspec.Raw():
            return indented(value)
    return _plain(value)


def indented(body: msgspec.Raw) -> str:
    """JSON with its lines broken; as it is where that takes a better form than it has."""
    try:
        return msgspec.json.format(bytes(body), indent=2).decode()
    except (msgspec.MsgspecError, RecursionError):
        return bytes(body).decode(errors="replace")


_templates.filters |= {
    "field": _field,
    "is_empty": _is_empty,
    "json": indented,
    "label": _label,
    "when": _when,
    "every": _every,
    "lasted": _lasted,
    "number": _number,
    "counted": counted,
    "plain": _plain,
    "sentence": _sentence,
    "size": _size,
    "share": _share,
}
