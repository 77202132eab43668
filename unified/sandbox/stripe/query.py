"""Stripe's request parameters and error bodies (https://docs.stripe.com/api/errors).

Not here: what an endpoint answers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from unified.sandbox.provider import ApiError
from unified.sandbox.stripe.versions import is_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

MAX_PAGE = 100


class Query:
    """A request's parameters (and version header), refused where Stripe refuses them."""

    def __init__(self, request: Request, *names: str) -> None:
        version = request.headers.get("stripe-version")
        if version is not None and not is_version(version):
            raise stripe_error(400, f"Invalid Stripe API version: {version}")
        self._values: dict[str, list[str]] = {}
        for raw, value in parse_qsl(request.url.query, keep_blank_values=True):
            name = re.sub(r"\[\d*\]$", "", raw)
            if name.partition("[")[0] not in (*names, "limit", "starting_after", "ending_before", "expand"):
                raise stripe_error(
                    400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name
                )
            self._values.setdefault(name, []).append(value)
        self.limit = 10 if self.get("limit") is None else self._integer("limit", self.get("limit") or "")
        if not 1 <= self.limit <= MAX_PAGE:
            raise invalid(
                f"This value must be between 1 and {MAX_PAGE}.", "limit", "parameter_invalid_integer"
            )
        if self.get("starting_after") is not None and self.get("ending_before") is not None:
            raise invalid(
                "You may only specify one of these parameters: starting_after, ending_before.",
                "ending_before",
            )

    def get(self, name: str) -> str | None:
        """The last value of a parameter."""
        return self._values[name][-1] if name in self._values else None

    def all(self, name: str) -> list[str]:
        """All values of a repeated parameter, `types[]` for instance."""
        return self._values.get(name, [])

    def created(self) -> tuple[int, int | None]:
        """The lowest second that counts, and the first that no longer does (None: no upper end)."""
        low, high = 0, None
        for name, values in self._values.items():
            field, _, operator = name.partition("[")
            if field != "created":
                continue
            second = self._integer(name, values[-1])
            operator = operator.rstrip("]")
            if operator not in ("", "gt", "gte", "lt", "lte"):
                raise stripe_error(
                    400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name
                )
            if operator in ("", "gt", "gte"):
                low = max(low, second + (operator == "gt"))
            if operator in ("", "lt", "lte"):
                bound = second + (operator != "lt")
                high = bound if high is None else min(high, bound)
        return low, high

    def _integer(self, name: str, value: str) -> int:
        try:
            return int(value)
        except ValueError:
            raise invalid(f"Invalid integer: {value}", name, "parameter_invalid_integer") from None


def missing(kind: str, record_id: str, param: str, status: int) -> ApiError:
    """An id that leads nowhere: 404 in a path, 400 in a parameter."""
    return stripe_error(status, f"No such {kind}: '{record_id}'", code="resource_missing", param=param)


def invalid(message: str, param: str, code: str | None = None) -> ApiError:
    """400 that names the parameter."""
    return stripe_error(400, message, code=code, param=param)


def stripe_error(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> ApiError:
    """Stripe's error envelope; a code brings its documentation link."""
    details = {"type": kind, "message": message}
    if code is not None:
        details |= {"code": code, "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"}
    if param is not None:
        details["param"] = param
    return ApiError(status, {"error": details}, headers)
