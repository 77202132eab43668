"""A document's ways of paging, and what each is in the kit's terms."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urljoin

import msgspec
from pydantic import Field, model_validator

from unified.kit.decoding import decode_exactly
from unified.kit.document.asking.bodies import Taker
from unified.kit.document.parts import Keys, Said, check_expressions
from unified.kit.errors import MappingError, ProtocolError
from unified.kit.mapping.expressions.compiling import compile_template
from unified.kit.mapping.expressions.limits import number_of
from unified.kit.mapping.refusals import Refused
from unified.kit.reading import paging as kit

PAGE_SCOPE = (
    "response",
    "headers",
    "last_record",
    "last_page_size",
    "last_page_token_value",
    "settings",
)
"""What expressions over a page may name: Airbyte's words, and the settings."""

OfAnswer = Annotated[str, Field(min_length=1, max_length=2_000, description="Text with `{{ }}`.")]
More = Annotated[Keys, Field(description="Where the answer says whether anything follows.")]
End = Annotated[Keys, Field(description="Where the answer says whether it is the last page.")]
Count = Annotated[
    Keys, Field(description="Where the answer says how many records (`offset`) or pages (`page`) there are.")
]
Size = Annotated[int, Field(ge=1, le=10_000, description="Records on a full page.")]


class NoPaging(Said):
    """The list is one page."""

    kind: Literal["none"] = "none"


class AfterIdPaging(Said):
    """The next page begins after the last record's id, and `more` says whether there is one.

    Without it a page that is not full is the last. The API may give less than `size`: after a first page of less the
    next one is asked for, and the first shorter or empty one is the last.
    """

    kind: Literal["after_id"]
    parameter: Taker
    more: Keys = ()
    id: Keys = ("id",)
    size: Size | None = None


class TokenPaging(Said):
    """The answer holds a word that the next request repeats; it is missing, null or empty on the last page.

    Where the last page has one as well, `more` or `end` says that nothing follows.
    """

    kind: Literal["token"]
    parameter: Taker
    token: Keys
    more: More = ()
    end: End = ()


class NumberedPaging(Said):
    """The request counts records (`offset`) or pages (`page`), and `end` or `count` says which page is the last.

    Without them a page that is not full is the last. Where `size_parameter` asks for a `size`, the API may give less:
    after a first page of less the next one is asked for, and the first shorter or empty one is the last. With a `size`
    of 1 and no `size_parameter`, an empty page is the last.
    """

    kind: Literal["offset", "page"]
    parameter: Taker
    size: Size
    size_parameter: Taker | None = None
    first: Annotated[int, Field(ge=0, le=1)] | None = Field(
        default=None, description="Number of the first record or page: 0 of records, 1 of pages."
    )
    end: End = ()
    count: Count = ()


class LinkPaging(Said):
    """The answer holds the next page's URL. Another host than the base URL's is never asked.

    Where the last page has one as well, `more` or `end` says that nothing follows.
    """

    kind: Literal["next_link"]
    link: Keys
    more: More = ()
    end: End = ()


class LinkHeaderPaging(Said):
    """A `Link` header holds the next page's URL (RFC 8288). Another host than the base URL's is never asked."""

    kind: Literal["link_header"]


class ComputedPaging(Said):
    """Expressions say where the next page begins: null, empty text, zero or false, and there is none.

    They see `response`, `headers` (by lower-case name), `last_record`, `last_page_size` (records of this page),
    `last_page_token_value` (where it began) and `settings`.
    """

    kind: Literal["computed"]
    parameter: Taker | None = Field(
        default=None, description="Without it, `value` is the next page's URL, on the base URL's host."
    )
    value: OfAnswer
    stop: OfAnswer | None = Field(default=None, description="What is true of the last page.")

    @model_validator(mode="after")
    def _can_be_computed(self) -> "ComputedPaging":
        check_expressions(filter(None, (self.value, self.stop)), PAGE_SCOPE)
        return self


Paging = Annotated[
    NoPaging | AfterIdPaging | TokenPaging | NumberedPaging | LinkPaging | LinkHeaderPaging | ComputedPaging,
    Field(discriminator="kind"),
]


class Computed(kit.Paging):
    """An expression over an answer says where the next page begins."""

    in_headers = True
    shifts = True  # it may count pages

    def __init__(self, said: ComputedPaging, settings: Mapping[str, str]) -> None:
        """Take the connection's settings."""
        self._parameter = said.parameter
        self._value = compile_template(said.value, PAGE_SCOPE)
        self._stop = None if said.stop is None else compile_template(said.stop, PAGE_SCOPE)
        self._settings = dict(settings)

    def parameters(self, at: kit.Position | None) -> Mapping[kit.Taker, kit.Position]:
        """The value, after the first page."""
        if at is None or self._parameter is None:
            return {}
        return {self._parameter: str(at) if isinstance(self._parameter, str) else at}

    def url(self, url: str, at: kit.Position | None) -> str | None:
        """The value, where it is a link."""
        return None if at is None or self._parameter is not None else urljoin(url, str(at))

    def following(self, answer: kit.Answer, at: kit.Position | None) -> kit.Position | None:
        """The value of the expression."""
        try:
            scope = self._scope(answer, at)
            found = None if self._stop is not None and self._stop(scope) else self._value(scope)
            if isinstance(found, Decimal | int):
                number_of(found)  # 1e999999 as a whole number takes minutes
        except (Refused, MappingError) as error:
            raise ProtocolError(f"{answer.what} does not say where its next page begins: {error}") from None
        if isinstance(found, Decimal) and found == found.to_integral_value():
            found = int(found)
        if not found:
            return None
        if isinstance(found, bool) or not isinstance(found, str | int):
            raise ProtocolError(f"{answer.what} says by neither text nor number where its next page begins")
        return found

    def _scope(self, answer: kit.Answer, at: kit.Position | None) -> dict[str, Any]:
        body = answer.body
        if isinstance(body, msgspec.Raw):
            response = decode_exactly(body)
        else:
            response = {name: decode_exactly(one) for name, one in body.items()}
        return {
            "response": response,
            "headers": {name.lower(): value for name, value in answer.headers.items()},
            "last_record": decode_exactly(answer.items[-1]) if answer.items else None,
            "last_page_size": len(answer.items),
            "last_page_token_value": at,
            "settings": self._settings,
        }


class OnePage(kit.Paging):
    """The list is one page."""

    def parameters(self, at: kit.Position | None) -> Mapping[kit.Taker, kit.Position]:  # noqa: ARG002 - there is one
        """None."""
        return {}

    def following(self, answer: kit.Answer, at: kit.Position | None) -> kit.Position | None:  # noqa: ARG002
        """Nothing."""
        return None


def takers_of(said: Paging) -> Iterator[str | tuple[str, ...]]:
    """What takes the values by which pages are asked for."""
    if isinstance(said, AfterIdPaging | TokenPaging | NumberedPaging | ComputedPaging):
        yield from () if said.parameter is None else (said.parameter,)
    if isinstance(said, NumberedPaging) and said.size_parameter is not None:
        yield said.size_parameter


def needs_json(said: Paging) -> bool:
    """Whether an answer's JSON says how the list goes on."""
    return (
        isinstance(said, TokenPaging | LinkPaging)
        or (isinstance(said, AfterIdPaging) and bool(said.more))
        or (isinstance(said, NumberedPaging) and bool(said.end or said.count))
    )


def paging_of(said: Paging, settings: Mapping[str, str]) -> kit.Paging:
    """The kit's paging that a document names, for a connection's settings."""
    match said:
        case ComputedPaging():
            return Computed(said, settings)
        case NoPaging():
            return OnePage()
        case AfterIdPaging():
            return kit.AfterId(said.parameter, more=said.more, id=said.id, size=said.size)
        case TokenPaging():
            return kit.Token(said.parameter, said.token, said.more, said.end)
        case LinkPaging():
            return kit.NextLink(said.link, said.more, said.end)
        case LinkHeaderPaging():
            return kit.LinkHeader()
        case NumberedPaging(kind="offset"):
            return kit.Offset(
                said.parameter, said.size, said.first or 0, said.size_parameter, said.end, said.count
            )
        case NumberedPaging():
            first = 1 if said.first is None else said.first
            return kit.PageNumber(said.parameter, said.size, first, said.size_parameter, said.end, said.count)
