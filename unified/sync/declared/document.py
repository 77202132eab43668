"""What a file of connections may say, as models. How it is read: `unified.sync.declared.reading`.

What is not said of a thing that is there stays as it is. A secret is never said, only where it is found.
"""

import re
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from unified.kit.mapping.column_rules import Treatment
from unified.kit.mapping.rules import MOST_RULES, Rule
from unified.store.secrets.elsewhere.references import FORMS, REFERENCE
from unified.sync.routes.orders import Orders

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise PydanticCustomError(
            "name", "it is not a valid name: use 1 to 63 lower-case letters, digits, hyphens"
        )
    return text


def _reference(text: str) -> str:
    if not REFERENCE.fullmatch(text):  # its text may be a secret, so it is not repeated
        raise PydanticCustomError(
            "reference",
            f"a secret does not stand in the file: write where it is, {FORMS}. "
            "If this is the secret itself, replace it at the provider too: the file may have been shared",
        )
    return text


# YAML reads 2025-01-31 as a date.
Day = Annotated[str, BeforeValidator(lambda day: day.isoformat() if type(day) is date else day)]
Name = Annotated[str, AfterValidator(_name)]
Reference = Annotated[str, AfterValidator(_reference)]
Minutes = Annotated[int, Field(ge=1, le=44_640)]


class _Said(BaseModel):
    """Part of a file. A key that nobody knows is an error, and so is ``yes`` or a number in place of text."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class DeclaredWebhook(_Said):
    """An endpoint that the connection's provider delivers to.

    Attributes:
        verifier: How deliveries are signed; by default as the connector's own provider does.
        options: Settings of the verifier.
        events: Types to keep, with ``*`` at the end for a family; empty keeps all.
        active: Whether deliveries are taken.
        secret: Where the signing secret is found.
    """

    verifier: str | None = None
    options: dict[str, str] = Field(default_factory=dict)
    events: list[str] = Field(default_factory=list)
    active: bool = True
    secret: Reference | None = None


class DeclaredConnection(_Said):
    """A workspace's use of a connector.

    Attributes:
        connector: Which system.
        settings: Of the adapter.
        streams: Names of those that are read; empty for the connector's usual ones.
        columns: By stream, fields of its records that are left out or hashed.
        history: Names of the streams whose former states are kept.
        since: By stream, the day on which the records that are stored begin.
        interval_minutes: Between two syncs; a new connection has 60.
        active: Whether it is synced by schedule.
        secrets: By field, where it is found, to be stored.
        references: By field, where it stays and is looked up at each use.
        webhooks: Its endpoints.
        rules: Its own field rules, by stream.
    """

    connector: str
    settings: dict[str, Any] = Field(default_factory=dict)
    streams: list[str] | None = None
    columns: dict[str, dict[str, Treatment]] | None = None
    since: dict[str, Day] | None = None
    history: list[str] | None = None
    interval_minutes: Minutes | None = None
    active: bool | None = None
    secrets: dict[str, Reference] = Field(default_factory=dict)
    references: dict[str, Reference] = Field(default_factory=dict)
    webhooks: list[DeclaredWebhook] = Field(default_factory=list)
    rules: dict[str, Annotated[list[Rule], Field(max_length=MOST_RULES)]] = Field(default_factory=dict)


class DeclaredRoute(Orders):
    """A standing order, between two connections of the workspace.

    Attributes:
        source: Name of the connection that customers come from (``from`` in the file).
        target: Name of the connection that they go to (``to``).
        from_stream: The source's stream of customers; by default its only or first one.
        to_stream: The target's.
        active: Whether it runs by itself.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    source: Annotated[Name, Field(alias="from")]
    target: Annotated[Name, Field(alias="to")]
    from_stream: str | None = None
    to_stream: str | None = None
    active: bool | None = None


class Document(_Said):
    """A file: one workspace, its connections and its routes, by name."""

    workspace: Name
    connections: dict[Name, DeclaredConnection] = Field(default_factory=dict)
    routes: dict[Name, DeclaredRoute] = Field(default_factory=dict)
