"""People whose data are kept, said to Atlassian: what it demands of an app that keeps them.

Source: https://developer.atlassian.com/cloud/jira/platform/user-privacy-developer-guide, "Reporting user personal data
for your apps". Each account is named once a cycle, which is a week unless the header ``Cycle-Period`` says otherwise,
and no more often; the answer names those who closed their account (erase) and those whose data changed (refresh or
erase), and is 204 where there are none. A connection by API token is no app, and has nothing to say.
"""

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta

import msgspec

from unified.kit.errors import PermissionDeniedError, ProtocolError, RequestRefusedError
from unified.kit.http.client import HttpClient
from unified.kit.reading.people import Person, Reported, Reporting

_log = logging.getLogger(__name__)

REPORTING = Reporting(frozenset({"customers", "staff"}), at_once=90, every=timedelta(days=7))

_PATH = "/app/report-accounts/"
_PERIOD = re.compile(r"\s*(?:P(?P<days>\d{1,3})D|(?P<number>\d{1,9}))\s*", re.ASCII)
# The guide says neither the form nor the unit of the header. A number of three digits can't be seconds: no cycle lasts
# a quarter of an hour. What makes a cycle of less than a day or of more than a season was meant otherwise.
_MOST_DAYS = 1000
_SHORTEST, _LONGEST = timedelta(days=1), timedelta(days=90)


class _Account(msgspec.Struct, rename="camel"):
    account_id: str
    status: str


class _Answer(msgspec.Struct):
    accounts: list[msgspec.Raw] = []


_ACCOUNT = msgspec.json.Decoder(_Account)
_ANSWER = msgspec.json.Decoder(_Answer | None)


async def report(http: HttpClient, people: Sequence[Person]) -> Reported:
    """Name up to ninety accounts. One that Atlassian does not take costs no other: it is left out, and logged.

    Raises:
        RequestRefusedError: If it takes none of several: then it is not the accounts that are odd.
        PermissionDeniedError: If the app may not: its *Personal data reporting API* is not switched on, or the grant is
            from before it was.
        ProviderError: If Atlassian fails otherwise.
    """
    taken: list[Reported] = []
    refused: dict[str, RequestRefusedError] = {}
    waiting = [people]
    while waiting:
        some = waiting.pop()
        try:
            taken.append(await _named(http, some))
        except RequestRefusedError as error:
            half = len(some) // 2
            if half:
                waiting += some[half:], some[:half]
            else:
                refused[some[0].source_id] = error
    if not taken and len(refused) > 1:
        raise next(iter(refused.values()))
    for one, why in refused.items():
        _log.warning("%s: Atlassian does not take the account %s: %s", http.label, one, why)
    return Reported(
        closed=[each for one in taken for each in one.closed],
        changed=[each for one in taken for each in one.changed],
        every=next((one.every for one in taken if one.every), None),
    )


async def _named(http: HttpClient, people: Sequence[Person]) -> Reported:
    """One request."""
    accounts = [{"accountId": one.source_id, "updatedAt": one.as_of.isoformat()} for one in people]
    # At the gateway itself, beside the sites that it leads to.
    url = f"{http.url('').partition('/ex/jira/')[0]}{_PATH}"
    try:
        answer = await http.exchange("POST", url, json={"accounts": accounts})
        found = answer.decoded(_ANSWER)
    except PermissionDeniedError as error:
        raise PermissionDeniedError(
            f"{error}; switch on the Personal data reporting API among the app's permissions at "
            "developer.atlassian.com, and authorize the connection again",
            status=error.status,
            code=error.code,
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolError(
            f"{http.label}: what Atlassian says of reported accounts is unreadable: {error}"
        ) from error
    meant = list(_asked(found.accounts if found else (), {one.source_id for one in people}))
    return Reported(
        closed=[one.account_id for one in meant if one.status == "closed"],
        changed=[one.account_id for one in meant if one.status == "updated"],
        every=_every(answer.headers.get("cycle-period", "")),
    )


def _asked(accounts: Iterable[msgspec.Raw], asked: Collection[str]) -> Iterator[_Account]:
    """What is said of accounts that were named; an odd element says nothing."""
    for one in accounts:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):
            account = _ACCOUNT.decode(one)
            if account.account_id in asked:
                yield account


def _every(said: str) -> timedelta | None:
    """How long a cycle is, by the header: days, as a number or as ``P7D``, or seconds; None where it can't be that."""
    found = _PERIOD.fullmatch(said)
    number = int(found["days"] or found["number"]) if found else 0
    every = timedelta(days=number) if number < _MOST_DAYS else timedelta(seconds=number)
    return every if _SHORTEST <= every <= _LONGEST else None
