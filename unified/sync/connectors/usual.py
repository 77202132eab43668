"""What most APIs want said of authentication and paging, as commented YAML: to begin a document with, or to change one.

A whole document to begin with is in ``starting``; a form that changes one in ``building``.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import yaml

AuthKind = Literal["bearer", "key", "basic", "session", "none"]
PagingKind = Literal["none", "token", "page", "offset", "after_id", "next_link", "link_header"]

AUTH_KINDS: tuple[AuthKind, ...] = get_args(AuthKind)
PAGING_KINDS: tuple[PagingKind, ...] = get_args(PagingKind)

SIZE = 100
"""Records on a page."""

AUTH: Mapping[AuthKind, str] = {
    "none": "auth: {kind: none}",
    "bearer": """\
# Sent as `Authorization: Bearer …`. The hint is what a person reads who looks for it.
auth:
  kind: bearer
  secret: {name: token, label: API token, hint: "where it is found, and how it begins"}""",
    "key": """\
# Sent in this header. `place: query` sends it as a parameter, `basic_user` as the user of Basic, without a password.
auth:
  kind: key
  place: header
  name: X-Api-Key
  secret: {name: api_key, label: API key, hint: "where it is found, and how it begins"}""",
    "basic": """\
# Sent as `Authorization: Basic …`.
auth:
  kind: basic
  user: {name: user, label: User, hint: "whose it is"}
  password: {name: password, label: Password, hint: "where it is found"}""",
    "session": """\
# A POST to this path logs in; the token of its answer proves who asks until it is rejected.
auth:
  kind: session
  secrets:
    - {name: user, label: User, hint: "whose it is"}
    - {name: password, label: Password, hint: "where it is found"}
  path: /login
  body: {user: "{{ secrets.user }}", password: "{{ secrets.password }}"}
  token: [token]""",
}
"""By kind, commented YAML that says who asks."""

PAGING: Mapping[PagingKind, str] = {
    "none": "    # The list is one page. If it goes on, `paging` says how; else the rest is missing.",
    "token": """\
    # The answer holds a word that the next request repeats; null or missing on the last page.
    paging: {kind: token, parameter: cursor, token: [next_cursor]}""",
    "page": f"""\
    # Pages are counted from `first`; one that is shorter than the one before, or empty, is the last.
    paging: {{kind: page, parameter: page, first: 1, size: {SIZE}, size_parameter: per_page}}""",
    "offset": f"""\
    # Records are counted; a page that is shorter than the one before, or empty, is the last.
    paging: {{kind: offset, parameter: offset, size: {SIZE}, size_parameter: limit}}""",
    "after_id": f"""\
    # The next page begins after the last record's id; one that is shorter than the one before, or empty, is the last.
    paging: {{kind: after_id, parameter: starting_after, size: {SIZE}}}""",
    "next_link": """\
    # The answer holds the next page's URL; null or missing on the last page. Another host is never asked.
    paging: {kind: next_link, link: [next]}""",
    "link_header": """\
    # The header `Link` holds the next page's URL, as rel="next". Another host is never asked.
    paging: {kind: link_header}""",
}
"""By kind, commented YAML that says how a list goes on, indented as in a stream."""


def usual_auth(kind: str) -> dict[str, Any] | None:
    """The usual ``auth`` of a document by its kind; None of a kind that is not listed."""
    text = next((said for name, said in AUTH.items() if name == kind), None)
    return None if text is None else yaml.safe_load(text)["auth"]


def usual_paging(kind: str) -> dict[str, Any] | None:
    """The usual ``paging`` of a stream by its kind; None of a kind that is not listed."""
    text = next((said for name, said in PAGING.items() if name == kind), None)
    return None if text is None else (yaml.safe_load(text) or {"paging": {"kind": kind}})["paging"]
