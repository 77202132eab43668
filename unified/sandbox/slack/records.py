"""People, conversations and messages of one workspace, as Slack's Web API shows them.

Source: https://docs.slack.dev/reference/objects/user-object, .../objects/conversation-object, and
https://docs.slack.dev/messaging (``ts``, threads). Not here: which of them a method shows
(`unified.sandbox.slack.api`).
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Protocol, cast

from unified.sandbox.data import company_name, domain_of, person
from unified.sandbox.draw import Draw, seed_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from unified.sandbox.tables.table import New, Record, Rows


class _Workspace(Protocol):
    workspace: str


USERS, CHANNELS, MESSAGES = "users", "channels", "messages"

BOT = "U0FAKEBOT"
"""The user as which the app acts."""

REPLY_EVERY = 10
"""One message in so many answers the first one of its ten."""

_FIRST_MESSAGE = 1_700_000_000
_WORDS = (
    "Invoice is paid",
    "Der Server läuft wieder",
    "¿Quién llama?",
    "見積もりを送りました",
    "Thanks, <@U000> :tada:",
)
_TOPICS = ("general", "billing", "support", "größe", "発注", "launch", "on-call")


def ids(prefix: str) -> Callable[[int, int], str]:
    """Ids of capital letters and digits, which say nothing."""

    def made(index: int, seed: int) -> str:
        digest = seed_of(seed, prefix, index).to_bytes(8, "big")
        return prefix + base64.b32encode(digest).decode()[:10]

    return made


def user_id(index: int, seed: int) -> str:
    """A person's id; the first one is the app's own bot."""
    return BOT if index == 0 else ids("U")(index, seed)


def message_ts(index: int, seed: int) -> str:
    """When a generated message was sent; no other one has the same."""
    del seed
    return f"{_FIRST_MESSAGE + index * 600}.{index:06d}"


def user(new: New) -> Record:
    """A person or, now and then, a bot. Any field of a profile may be empty, null or missing."""
    who, draw = person(new.draw), Draw(seed_of("member", new.index))
    is_bot = new.index == 0 or draw.chance(60)
    is_guest = not is_bot and draw.chance(150)
    is_outsider = not (is_bot or is_guest) and draw.chance(80)
    name = f"{who.first} {who.last}"
    display = draw.pick((who.first.lower(), "", name))
    profile = {
        "real_name": name, "real_name_normalized": name, "display_name": display,
        "display_name_normalized": display, "first_name": who.first, "last_name": who.last,
        "title": draw.pick(("", "Engineer", "Head of Finance")), "phone": who.phone or "", "skype": "",
        "avatar_hash": "g0000000000", "status_text": "", "status_emoji": "", "status_expiration": 0,
        "fields": draw.pick(([], None)),
    }  # fmt: skip
    if who.email is not None and not is_bot:
        profile["email"] = who.email
    elif draw.chance(500):
        profile["email"] = None
    home = _home(new)
    return {
        "team_id": "T0OUTSIDER" if is_outsider else home, "name": f"user{new.index}", "color": "9f69e7",
        "real_name": name, "tz": draw.pick(("Europe/Zurich", "America/New_York", None)),
        "tz_label": "Somewhere", "tz_offset": 3600, "profile": profile,
        "is_admin": draw.chance(50), "is_owner": False, "is_primary_owner": False,
        "is_restricted": is_guest, "is_ultra_restricted": is_guest and draw.chance(500), "is_bot": is_bot,
        "is_app_user": False, "is_stranger": is_outsider,
    }  # fmt: skip


def slackbot(home: str) -> Record:
    """Slackbot, which is not a bot by its own word."""
    profile = {
        "real_name": "Slackbot", "real_name_normalized": "Slackbot", "display_name": "Slackbot",
        "display_name_normalized": "Slackbot", "avatar_hash": "sv41d8cd98f0", "title": "", "phone": "", "skype": "",
        "status_text": "", "status_emoji": "", "fields": None, "always_active": True,
    }  # fmt: skip
    return {
        "id": "USLACKBOT", "team_id": home, "name": "slackbot", "color": "757575", "real_name": "Slackbot",
        "tz": None, "tz_label": "Pacific Standard Time", "tz_offset": -28800, "profile": profile, "is_admin": False,
        "is_owner": False, "is_primary_owner": False, "is_restricted": False, "is_ultra_restricted": False,
        "is_bot": False, "is_app_user": False, "updated": 0, "deleted": False,
    }  # fmt: skip


def channel(new: New) -> Record:
    """A public or a private channel; one in seven is a direct message."""
    draw, kind = new.draw, new.index % 7
    name = f"{draw.pick(_TOPICS)}-{new.index}"
    creator = BOT
    words = {"creator": creator, "last_set": new.created}
    is_private = kind == 3  # noqa: PLR2004
    is_im = kind == 5  # noqa: PLR2004
    return {
        "name": name, "name_normalized": name, "created": new.created, "creator": creator,
        "is_channel": not (is_private or is_im), "is_group": is_private, "is_im": is_im, "is_mpim": False,
        "is_private": is_private or is_im, "is_archived": draw.chance(100), "is_general": new.index == 0,
        "is_shared": False, "is_org_shared": False, "is_ext_shared": False,
        "is_member": is_private or (not is_im and new.index % 3 != 1), "unlinked": 0, "num_members": draw.below(50),
        "topic": {"value": draw.pick(("", "Überfällige Rechnungen")), **words}, "purpose": {"value": "", **words},
    }  # fmt: skip


def message(new: New) -> Record:
    """A message in a channel of which the app is a member, or an answer to one."""
    joined = joined_in(new.account.rows[CHANNELS])
    first = new.index - new.index % REPLY_EVERY
    place = joined[(new.index // REPLY_EVERY) % len(joined)]
    made = {
        "channel": place, "type": "message", "user": new.account.rows[USERS].id_of(1 + new.draw.below(20)),
        "text": new.draw.pick(_WORDS), "team": _home(new),
    }  # fmt: skip
    if new.index % REPLY_EVERY == REPLY_EVERY - 1:
        made |= {"thread_ts": message_ts(first, 0)}
    return made


def _home(new: New) -> str:
    return cast("_Workspace", new.account).workspace


def joined_in(channels: Rows) -> list[str]:
    """Ids of the channels of which the app is a member."""
    return [row.id for row in channels.live() if row.fields["is_member"]]


def domain(key: str) -> str:
    """The workspace's part of its address."""
    return domain_of(company_name(Draw(seed_of(key)))).partition(".")[0]
