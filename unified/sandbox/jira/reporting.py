"""Accounts that an app reports: which of them are closed, and whose data changed since they were read.

Source: https://developer.atlassian.com/cloud/jira/platform/user-privacy-developer-guide. A person who was deleted here
has closed their account.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from unified.sandbox.provider import ApiError, Reply

if TYPE_CHECKING:
    from unified.sandbox.jira.oauth import JiraOAuth
    from unified.sandbox.provider import Call
    from unified.sandbox.tables.account import TableAccount

_MOST = 90
_SCOPE = "report:personal-data"


class ReportingApi:
    """The part of the stand-in that takes reports, beside the sites."""

    oauth: JiraOAuth
    cycle_period: str | None
    reported: list[str]
    _accounts: dict[str, TableAccount]

    def _report(self, call: Call[TableAccount]) -> Reply:
        scheme, _, token = call.request.headers.get("authorization", "").partition(" ")
        issued = self.oauth.find(token, "access") if scheme.lower() == "bearer" else None
        if issued is None:
            raise _refused(HTTPStatus.UNAUTHORIZED, "Unauthorized")
        if issued.grant.scopes and _SCOPE not in issued.grant.scopes:
            raise _refused(HTTPStatus.FORBIDDEN, "The app is not allowed to report personal data")
        try:
            accounts = [
                (str(one["accountId"]), datetime.fromisoformat(one["updatedAt"]).timestamp())
                for one in msgspec.json.decode(call.body)["accounts"]
            ]
        except (KeyError, TypeError, ValueError, msgspec.DecodeError):
            raise _refused(HTTPStatus.BAD_REQUEST, "The request is malformed") from None
        if not 0 < len(accounts) <= _MOST or any(one == "unknown" or " " in one for one, _ in accounts):
            raise _refused(HTTPStatus.BAD_REQUEST, f"1 to {_MOST} valid accounts are reported at once")
        self.reported += [one for one, _ in accounts]
        found = [
            {"accountId": one, "status": said} for one, at in accounts if (said := self._status(one, at))
        ]
        headers = {} if self.cycle_period is None else {"cycle-period": self.cycle_period}
        if not found:
            return Reply(b"", HTTPStatus.NO_CONTENT, headers=headers)
        return Reply(msgspec.json.encode({"accounts": found}), headers=headers)

    def _status(self, account_id: str, read_at: float) -> str | None:
        for account in self._accounts.values():
            row = account.rows["people"].find(account_id)
            if row is not None:
                return "closed" if row.is_deleted else "updated" if row.updated > read_at else None
        return None


def _refused(status: HTTPStatus, message: str) -> ApiError:
    answer: dict[str, Any] = {"code": status.value, "message": message}
    return ApiError(status, answer)
