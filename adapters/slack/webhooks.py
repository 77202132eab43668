"""Slack's events: whose one is, and what it means. :class:`unified.kit.webhooks.verifiers.SlackVerifier` verifies them.

https://docs.slack.dev/apis/events-api, and the page of each event in https://docs.slack.dev/reference/events. An app
has one URL for all workspaces in which it is installed. People and channels are read again; a message comes whole,
because no method shows it by its ``ts`` alone.
"""

from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from unified.kit.errors import MappingError, PayloadError
from unified.kit.streams import Origin
from unified.kit.webhooks.deliveries import ReceivedEvent
from unified.kit.webhooks.meaning import Subject
from unified.kit.webhooks.owners import Owner
from unified.kit.webhooks.payloads import fields_of, read_time
from unified.kit.webhooks.verifiers import slack_key
from unified.schema.event import UnifiedEvent

_PEOPLE = frozenset(("team_join", "user_change", "user_profile_changed", "user_status_changed"))
# After the kind of channel, public ones first: channel_rename, group_rename.
_OF_A_CHANNEL = frozenset(
    (
        "created",
        "rename",
        "archive",
        "unarchive",
        "deleted",
        "left",
        "joined",
        "shared",
        "unshared",
        "id_changed",
    )
)
_KINDS = {"channel": "public_channel", "group": "private_channel"}
# Of a message, what belongs to its delivery.
_OF_THE_DELIVERY = ("channel", "event_ts", "channel_type", "hidden")

NEEDS_SYNC = frozenset(("app_rate_limited", "app_uninstalled", "tokens_revoked", "grid_migration_finished"))
"""Events after which others are missing, ids are others, or the token may have ended: the workspace is asked."""


class _Installed(msgspec.Struct):
    team_id: str | None = None


class _Scope(msgspec.Struct):
    team_id: str | None = None
    authorizations: list[_Installed] | None = None


class _Envelope(msgspec.Struct):
    type: str
    event: dict[str, Any] = {}
    event_id: str | None = None
    event_time: int | None = None
    team_id: str | None = None
    minute_rate_limited: int | None = None


LEADING = fields_of(_Envelope, _Scope) | {
    *("user", "channel", "old_channel_id", "new_channel_id", "channel_type", "subtype"),
    *("message", "ts", "thread_ts", "deleted_ts"),
}
"""By what its events are known, dated and led to records; see :attr:`unified.kit.adapter.BaseAdapter.leading`."""

_SCOPE = msgspec.json.Decoder(_Scope)
_ENVELOPE = msgspec.json.Decoder(_Envelope)


def owner(event: ReceivedEvent) -> Owner:
    """The workspace that an event is for; see :meth:`unified.kit.adapter.BaseAdapter.owner`.

    In a channel that several workspaces share, it may have happened in another one than where the app is installed.
    """
    try:
        said = _SCOPE.decode(event.body)
    except (msgspec.MsgspecError, UnicodeError):
        return Owner()
    installed = next((one.team_id for one in said.authorizations or () if one.team_id), None)
    return Owner(installed or said.team_id)


def subjects(event: ReceivedEvent, kinds: Collection[str]) -> Iterator[Subject]:
    """The records that an event is about; see :meth:`unified.kit.adapter.BaseAdapter.subjects`.

    Args:
        event: The event.
        kinds: Which kinds of channels the connection reads.
    """
    envelope = _ENVELOPE.decode(event.body)
    said = envelope.event
    kind = said.get("type")
    if kind in _PEOPLE:
        yield from _read_again("users", said.get("user"))
    elif kind == "message":
        if _KINDS.get(said.get("channel_type", "channel")) in kinds:
            yield from _of_a_message(said, envelope)
    elif isinstance(kind, str):
        noun, _, change = kind.partition("_")
        if change in _OF_A_CHANNEL and _KINDS.get(noun) in kinds:
            for one in (said.get("channel"), said.get("old_channel_id"), said.get("new_channel_id")):
                yield from _read_again("channels", one)


def _read_again(stream: str, found: Any) -> Iterator[Subject]:
    """A record, of its id or of what shows it."""
    source_id = found.get("id") if isinstance(found, dict) else found
    if isinstance(source_id, str) and source_id.isalnum() and source_id.isascii():
        yield Subject(stream, source_id)


def _of_a_message(said: dict[str, Any], envelope: _Envelope) -> Iterator[Subject]:
    channel, changed_at = said.get("channel"), read_time(envelope.event_time or 0)
    deleted = said.get("deleted_ts") if said.get("subtype") == "message_deleted" else None
    if isinstance(deleted, str):
        yield Subject("messages", f"{channel}:{deleted}", deleted_at=changed_at)
        return
    changed = said.get("message") if said.get("subtype") in ("message_changed", "message_replied") else said
    if not isinstance(changed, dict) or not isinstance(ts := changed.get("ts"), str) or _is_answer(changed):
        return
    shown = {name: value for name, value in changed.items() if name not in _OF_THE_DELIVERY}
    body = msgspec.json.encode({**shown, "channel": channel})
    yield Subject("messages", f"{channel}:{ts}", record=body, as_of=changed_at)


def _is_answer(message: dict[str, Any]) -> bool:
    """Whether a message stands in a thread alone, where no history shows it."""
    in_thread = message.get("thread_ts", message["ts"]) != message["ts"]
    return in_thread and message.get("subtype") != "thread_broadcast"


def to_event(raw: dict[str, Any], origin: Origin) -> UnifiedEvent:
    """Map an event under the key that :class:`unified.kit.webhooks.verifiers.SlackVerifier` knows it by.

    Raises:
        MappingError: If it is not what Slack documents.
    """
    try:
        said = msgspec.convert(raw, _Envelope)
        happened = read_time(said.event_time or said.minute_rate_limited or 0)
    except (msgspec.ValidationError, PayloadError) as error:
        raise MappingError(f"the event has an unexpected form: {error}") from None
    key = slack_key(said.type, said.event_id, said.team_id, said.minute_rate_limited)
    if key is None or not (said.event_time or said.minute_rate_limited):
        raise MappingError("the event has neither an id nor a time")
    kind = said.event.get("type")
    event_type = kind if isinstance(kind, str) and kind else said.type
    user, channel = said.event.get("user"), said.event.get("channel")
    subtype = said.event.get("subtype")
    return UnifiedEvent(
        **origin.identify(key),
        created_at=happened,
        custom_fields={"team_id": said.team_id, **({"subtype": subtype} if isinstance(subtype, str) else {})},
        raw_data=raw,
        event_type=event_type,
        event_category=event_type.partition("_")[0],
        payload=raw,
        user_id=user if isinstance(user, str) else None,
        resource_type="user" if isinstance(user, dict) else "channel" if channel else None,
        resource_id=_id(user) if isinstance(user, dict) else _id(channel),
        occurred_at=happened,
    )


def _id(found: Any) -> str | None:
    source_id = found.get("id") if isinstance(found, dict) else found
    return source_id if isinstance(source_id, str) else None
