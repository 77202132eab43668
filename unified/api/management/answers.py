"""Answers: values as JSON, and the version of a thing as its ETag."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import Depends, Header, Request, Response
from xxhash import xxh3_128_hexdigest

from unified.api.management.problems import Problem

_ETAG = re.compile(r'"([0-9]{1,9})"')


def json_answer(
    value: Any, status: int = 200, *, version: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer. FastAPI sends it as it is, so a list of 200 items is encoded once and not validated before.

    Args:
        value: Dataclasses, mappings, lists, UUIDs, times (UTC), and what else msgspec encodes.
        status: Of HTTP.
        version: Of the thing that is shown, for its ETag.
        headers: Besides.
    """
    etag = {} if version is None else {"etag": f'"{version}"'}
    return Response(msgspec.json.encode(value), status, {**etag, **(headers or {})}, "application/json")


def unless_known(request: Request, answer: Response, *, of: Any = None) -> Response:
    """An answer with an ETag made of its content; 304 without content where ``If-None-Match`` has it already.

    Args:
        request: What is answered.
        answer: How, where that is not known.
        of: What of it counts, where the rest may differ from answer to answer.
    """
    digest = xxh3_128_hexdigest(answer.body if of is None else msgspec.json.encode(of))
    etag = f'"{digest}"' if of is None else f'W/"{digest}"'
    known = [one.strip() for one in request.headers.get("if-none-match", "").split(",")]
    if "*" in known or etag.removeprefix("W/") in (one.removeprefix("W/") for one in known):
        kept = {"link": answer.headers["link"]} if "link" in answer.headers else {}
        answer = Response(status_code=304, headers=kept)
    answer.headers["etag"] = etag
    return answer


def no_content() -> Response:
    """The answer to what leaves nothing to show."""
    return Response(status_code=204)


async def _expected_version(
    if_match: Annotated[
        str | None,
        Header(description="ETag of what is to be changed, as it was read; `*` for whatever it is."),
    ] = None,
) -> int | None:
    if if_match is None:
        raise Problem(
            428, "Send If-Match with the ETag that you read, so that nobody's change is overwritten."
        )
    if if_match == "*":
        return None
    if (etag := _ETAG.fullmatch(if_match)) is None:
        raise Problem(412, "If-Match is not an ETag of this API; read the thing again.")
    return int(etag[1])


IfMatch = Annotated[int | None, Depends(_expected_version)]
"""Parameter of a route that changes something: the version it must still have; None for any."""
