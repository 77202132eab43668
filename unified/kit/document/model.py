"""What a connector document says, as a model: the published form of the format.

How it is read by its lines is `source`'s, what a stream says `streams`', what runs it `engine`'s; what rules are,
`unified.kit.mapping`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, Any, Literal

import httpx
import msgspec
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import SchemaError

from unified.kit.document.answers import Refusals
from unified.kit.document.asking.bodies import Request
from unified.kit.document.asking.partitions import StreamName
from unified.kit.document.auth import Auth, ChoiceAuth, KeyAuth, credentials_of, oauth_of
from unified.kit.document.parts import (
    SCOPE,
    Headers,
    Host,
    HttpsUrl,
    Keys,
    Name,
    Said,
    Text,
    check_expressions,
    worded,
)
from unified.kit.document.source import DocumentError, read_source
from unified.kit.document.streams import DocumentStream
from unified.kit.document.webhooks import Webhooks
from unified.kit.mapping.expressions.times import CLOCK

ENGINE: Literal[1] = 1
"""Of the format. It rises when something in it comes to mean something else."""


class Setting(Said):
    """What a connection says of itself, besides its secrets."""

    description: Text
    pattern: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="What it has to match, as a whole."
    )
    default: str | None = Field(default=None, description="Where it need not be given.")
    reads: bool = Field(default=True, description="Whether another value means other records, read anew.")

    @property
    def whole_pattern(self) -> str | None:
        """The pattern, held against the whole value. It runs on pydantic's engine, whose time is linear."""
        return None if self.pattern is None else f"^(?:{self.pattern})$"

    @model_validator(mode="after")
    def _is_a_pattern(self) -> "Setting":
        try:
            TypeAdapter(Annotated[str, Field(pattern=self.whole_pattern)])
        except SchemaError:
            raise ValueError("the pattern is not a regular expression without look-around") from None
        return self


class Budgets(Said):
    """What one pull of a stream may cost. The next pull goes on where one was stopped."""

    pages: Annotated[int, Field(ge=1, le=10_000_000)] = 1_000_000
    requests: Annotated[int, Field(ge=1, le=10_000_000)] = 1_000_000
    bytes: Annotated[int, Field(ge=1_000, le=10**13)] = 10**12
    seconds: Annotated[int, Field(ge=1, le=604_800)] = 86_400


class NamedLimit(Said):
    """A rate limit of some requests alone."""

    requests_per_minute: Annotated[float, Field(gt=0, le=60_000)]
    burst: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=1, description="Requests that may go out at once after a pause."
    )


class Probe(Request):
    """What is asked to find out whose account a credential opens."""

    id: Keys = ()
    name: Keys = ()


# What a stream says that changes neither what is asked for nor which records that brings.
_NOT_READ = {"entity", "usual", "write", "customers", "mapping", "limit"}


class DocumentModel(Said):
    """A connector document."""

    engine: Literal[1] = Field(description="Version of this format.")
    id: Name = Field(description="Name of the connector; tables and assets are named after it.")
    version: Annotated[
        str, Field(pattern=r"^\d{1,4}\.\d{1,4}\.\d{1,4}$"), worded("three numbers, such as 1.0.0")
    ]
    title: Annotated[str, Field(min_length=1, max_length=60)]
    licence: Annotated[str, Field(max_length=60)] | None = None
    documentation: HttpsUrl | None = None
    hosts: Annotated[tuple[Host, ...], Field(min_length=1, max_length=20)] = Field(
        description="To which requests and secrets may go: exact, or `*.` and a suffix."
    )
    base_url: HttpsUrl = Field(description="Where the API lives; may hold `{{ settings.… }}`.")
    settings: Annotated[dict[Name, Setting], Field(max_length=50)] = Field(default_factory=dict)
    auth: Auth
    headers: Headers = Field(default_factory=dict)
    requests_per_second: Annotated[float, Field(gt=0, le=1_000)]
    limits: Annotated[dict[Name, NamedLimit], Field(max_length=50)] = Field(
        default_factory=dict,
        description="By name, for streams that have one of their own; the setting requests_per_second replaces all.",
    )
    budgets: Budgets = Budgets()
    refusals: Refusals = Refusals()
    test: Probe | None = Field(
        default=None,
        description="Without it, a page of each stream is asked for, and the account has no name.",
    )
    streams: Annotated[dict[StreamName, DocumentStream], Field(min_length=1, max_length=60)]
    webhooks: Webhooks | None = None

    def reading(self, name: str) -> str:
        """Identifies how a stream is read: equal for the same requests and records.

        Not part of it: rules, which are applied to stored records too, limits, and what is written.
        """
        return self._reading(name, {})

    def _reading(self, name: str, known: dict[str, str]) -> str:
        """See :meth:`reading`; of each stream once, as many may have the same parents."""
        if name not in known:
            stream = self.streams[name]
            said = stream.model_dump(mode="json", exclude=_NOT_READ, exclude_defaults=True)
            parents = [self._reading(parent.stream, known) for one in stream.parents for parent in one]
            above = parents[0] if len(parents) == 1 else parents or None
            text = msgspec.json.encode([said, self.headers, above], order="sorted")
            known[name] = sha256(text).hexdigest()[:16]
        return known[name]

    @model_validator(mode="after")
    def _fits_together(self) -> "DocumentModel":
        """See that what is named is there, and that no secret goes to a host that is not declared."""
        check_expressions([self.base_url], SCOPE[:1])
        texts = [*self.headers.values(), *([self.test.path] if self.test else [])]
        texts += self.test.body_expressions() if self.test else ()
        check_expressions(texts, SCOPE[:1], CLOCK)
        self._may_sign()
        secrets = [field.name for field in credentials_of(self.auth).fields]
        if len(set(secrets)) < len(secrets) or set(secrets) & self.settings.keys():
            raise ValueError("two secrets, or a secret and a setting, have the same name")
        oauth = oauth_of(self.auth)
        for url in oauth.urls() if oauth else ():
            if url.startswith("https:") and not is_among(url, self.hosts):
                raise ValueError(
                    f"auth: {httpx.URL(url).host} is not among `hosts`, and no secret goes there"
                )
        if oauth and oauth.companies and oauth.companies.setting not in self.settings:
            raise ValueError(
                f"auth: there is no setting {oauth.companies.setting!r} for the company that is meant"
            )
        for name, stream in self.streams.items():
            if stream.customers is not None and stream.customers not in self.streams:
                raise ValueError(f"stream {name}: there is no stream {stream.customers!r} of customers")
            single = stream.single
            for limit in filter(None, (stream.limit, single and single.limit)):
                if limit not in self.limits:
                    raise ValueError(f"stream {name}: there is no limit {limit!r}")
            self._has_parents(name)
        self._are_told()
        return self

    def _may_sign(self) -> None:
        """See that a key that goes into bodies has one in each request."""
        fixed = self.auth.key if isinstance(self.auth, ChoiceAuth) else self.auth
        if not isinstance(fixed, KeyAuth) or fixed.place != "body":
            return
        if self.test is not None and self.test.body is None:
            raise ValueError("test: the key goes into a body; say `method: POST` and `body`, be it `{}`")
        for name, stream in self.streams.items():
            if stream.body is None:
                raise ValueError(
                    f"stream {name}: the key goes into a body; say `method: POST` and `body`, be it `{{}}`"
                )
            if stream.job is not None:
                raise ValueError(
                    f"stream {name}: the key goes into a body, and not all requests of a job have one"
                )
            if stream.one is not None:
                raise ValueError(
                    f"stream {name}: the key goes into a body, and `one` asks by GET, without any; leave it out, or "
                    "say `many`"
                )

    def _are_told(self) -> None:
        """See that what webhooks are about is there, and can be read again."""
        for about in self.webhooks.events if self.webhooks else ():
            stream = self.streams.get(about.stream)
            if stream is None:
                raise ValueError(f"webhooks: there is no stream {about.stream!r}")
            if about.id and not about.deleted and stream.one is None and stream.many is None:
                raise ValueError(
                    f"webhooks: single {about.stream} can't be read again; say `one` or `many` there, or `record` here"
                )

    def _has_parents(self, name: str) -> None:
        waiting, met = [name], {name}
        while waiting:
            one = waiting.pop()
            for above in (parent.stream for several in self.streams[one].parents for parent in several):
                if above not in self.streams:
                    raise ValueError(f"stream {one}: there is no stream {above!r} to be its parent")
                if above == name:
                    raise ValueError(f"stream {name}: its parents lead in a circle")
                if above not in met:
                    met.add(above)
                    waiting.append(above)


def is_among(url: str, hosts: Sequence[str]) -> bool:
    """Whether a URL's host is one of a document's."""
    host = httpx.URL(url).host
    return any(host.endswith(one[1:]) if one.startswith("*.") else host == one for one in hosts)


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was read.

    Attributes:
        said: What it says.
        hash: SHA-256 of what it says, in hexadecimal digits: neither comments nor the order of keys count.
    """

    said: DocumentModel = field(compare=False)
    hash: str

    @property
    def id(self) -> str:
        """The connector's name."""
        return self.said.id

    @property
    def version(self) -> str:
        """As it says."""
        return self.said.version


def read(text: bytes, name: str) -> Document:
    """Read a document.

    Args:
        text: YAML or JSON, in UTF-8.
        name: The file's, for errors.

    Raises:
        DocumentError: If it is not one that this release can run; with file, line, place and what to do.
    """
    source = read_source(text, name)
    try:
        said = DocumentModel.model_validate(source.value)
    except ValidationError as error:
        raise source.explain(error, DocumentModel) from None
    return Document(said, hash_of(source.value))


def hash_of(value: Any) -> str:
    """SHA-256 of what a document says, in hexadecimal digits."""
    try:
        return sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()
    except (TypeError, ValueError, RecursionError):
        raise DocumentError("the document holds a value that JSON has not") from None
