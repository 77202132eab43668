"""A document's ways of paging, and what each is in the kit's terms."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from unified.kit.document.bodies import Taker
from unified.kit.document.parts import Keys, Said
from unified.kit.reading import paging as kit

More = Annotated[Keys, Field(description="Where the answer says whether anything follows.")]
End = Annotated[Keys, Field(description="Where the answer says whether it is the last page.")]
Size = Annotated[int, Field(ge=1, le=10_000, description="Records on a full page.")]


class NoPaging(Said):
    """The list is one page."""

    kind: Literal["none"] = "none"


class AfterIdPaging(Said):
    """The next page begins after the last record's id. A page that is not full is the last, or `more` says so."""

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
    """The request counts records (`offset`) or pages (`page`). A page that is not full is the last."""

    kind: Literal["offset", "page"]
    parameter: Taker
    size: Size
    size_parameter: Taker | None = None
    first: Annotated[int, Field(ge=0, le=1)] | None = Field(
        default=None, description="Number of the first record or page: 0 of records, 1 of pages."
    )


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


Paging = Annotated[
    NoPaging | AfterIdPaging | TokenPaging | NumberedPaging | LinkPaging | LinkHeaderPaging,
    Field(discriminator="kind"),
]


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
    if isinstance(said, AfterIdPaging | TokenPaging | NumberedPaging):
        yield said.parameter
    if isinstance(said, NumberedPaging) and said.size_parameter is not None:
        yield said.size_parameter


def paging_of(said: Paging) -> kit.Paging:
    """The kit's paging that a document names."""
    match said:
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
            return kit.Offset(said.parameter, said.size, said.first or 0, said.size_parameter)
        case NumberedPaging():
            first = 1 if said.first is None else said.first
            return kit.PageNumber(said.parameter, said.size, first, said.size_parameter)
