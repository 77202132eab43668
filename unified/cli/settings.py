"""From the command line to a connection's settings."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from unified.cli.session import UsageError
from unified.kit.adapter import BaseAdapter
from unified.kit.settings import UnusableSettingsError, checked_settings


def chosen_settings(
    adapter: type[BaseAdapter[Any]],
    assignments: Sequence[str] | None,
    base_url: str | None,
    *,
    allow_private_hosts: bool | None,
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The settings to store: only those that were given, checked by the adapter's model.

    Args:
        adapter: Whose settings.
        assignments: ``key=value``, the value as JSON or else as text.
        base_url: The setting of that name.
        allow_private_hosts: The setting of that name.
        before: What is stored already, if anything.

    Raises:
        UsageError: If they do not fit.
    """
    chosen = dict(before or {})
    chosen |= {key: _value(value) for key, value in assignments_of(assignments).items()}
    if base_url:
        chosen["base_url"] = base_url
    if allow_private_hosts is not None:
        chosen["allow_private_hosts"] = allow_private_hosts
    try:
        return checked_settings(adapter, chosen)
    except UnusableSettingsError as error:
        msg = f"{error} (`unified connectors` lists them)"
        raise UsageError(msg) from None


def shown_settings(settings: Mapping[str, Any]) -> str:
    """Settings on one line, each value as ``--set`` takes it: text as it is, anything else as JSON."""
    return ", ".join(
        f"{key}={value if _value(str(value)) == value else json.dumps(value, ensure_ascii=False)}"
        for key, value in settings.items()
    )


def chosen_streams(adapter: type[BaseAdapter[Any]], given: str) -> list[str]:
    """Take ``--streams`` apart: names by commas, ``usual`` for the connector's usual ones, ``all`` for all of them."""
    if given == "usual":
        return []
    names = [name.strip() for name in given.split(",") if name.strip()]
    if given == "all":
        return [stream.name for stream in adapter.streams]
    if not names:
        msg = "--streams takes names by commas, or `usual`, or `all`; to stop syncing, pause the connection"
        raise UsageError(msg)
    return names


def chosen_columns(given: str) -> dict[str, dict[str, str]]:
    """Take ``--columns`` apart: ``STREAM.FIELD=omit`` or ``…=hash`` by commas, or ``none``.

    Raises:
        UsageError: If it is nothing of the kind.
    """
    found: dict[str, dict[str, str]] = {}
    for part in [] if given == "none" else given.split(","):
        column, equals, treatment = part.strip().partition("=")
        stream, dot, field = column.partition(".")
        if not (equals and dot and field):
            msg = f"--columns takes STREAM.FIELD=omit or STREAM.FIELD=hash by commas, or `none`, not {part.strip()!r}"
            raise UsageError(msg)
        found.setdefault(stream, {})[field] = treatment
    return found


def chosen_since(adapter: type[BaseAdapter[Any]], given: str) -> dict[str, str]:
    """Take ``--since`` apart: a day for all streams, ``STREAM=DAY`` by commas, or ``none``."""
    if given == "none":
        return {}
    if "=" not in given:
        return {stream.name: given.strip() for stream in adapter.all_streams()}
    parts = [part.partition("=") for part in given.split(",")]
    return {stream.strip(): day.strip() for stream, _, day in parts}


def chosen_history(adapter: type[BaseAdapter[Any]], given: str) -> list[str]:
    """Take ``--history`` apart: names by commas, ``all`` for all streams that can change, or ``none``."""
    if given == "all":
        return [stream.name for stream in adapter.all_streams() if not stream.entity.is_log]
    return [] if given == "none" else [name.strip() for name in given.split(",")]


def assignments_of(given: Sequence[str] | None) -> dict[str, str]:
    """Take ``--set KEY=VALUE`` apart; a value keeps its spaces, as ``prefix=Bearer `` ends in one that counts.

    Raises:
        UsageError: If one is nothing of the kind.
    """
    found = {}
    for assignment in given or ():
        key, equals, value = assignment.partition("=")
        if not equals:
            msg = f"--set takes KEY=VALUE, not {assignment!r}"
            raise UsageError(msg)
        found[key.strip()] = value
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()
