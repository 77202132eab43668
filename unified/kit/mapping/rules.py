"""Rules as data: single ones, and those that map a whole stream.

Both are JSON-serialisable, and have a digest that goes into the hash of each row: a changed rule maps stored raw
records again, without a request to their source.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Annotated, Any, Literal

import msgspec
from pydantic import Field, TypeAdapter, ValidationError

from unified.kit.decoding import reason
from unified.kit.mapping.refusals import RuleError
from unified.kit.mapping.steps import Declared, Path, Paths, Scalar, Steps

VERSION: Literal[1] = 1
"""Of the language. It rises when a step comes to mean something else, and with it every rule's digest."""

MOST_RULES = 200


class Rule(Declared):
    """How one field is filled."""

    target: Annotated[
        str,
        Field(
            min_length=1,
            max_length=200,
            description="A field of the record, a part of one such as `billing_address.city`, `custom_fields.<key>`, "
            "or `custom_fields` for all entries of an object.",
            examples=["tax_number"],
        ),
    ]
    source: Path | None = Field(
        default=None, description="Where the value stands; null where a step makes it."
    )
    steps: Steps = ()
    lines: Annotated[tuple["Rule", ...], Field(max_length=MOST_RULES)] = Field(
        default=(),
        description="Rules for each item of `line_items`; their paths begin at the item, `$` at the record.",
    )
    required: bool = Field(
        default=False,
        description="Whether a record whose value can't be read is set aside. Otherwise it does without the field. "
        "A value that is not there is no fault.",
    )

    def as_json(self) -> dict[str, Any]:
        """Its JSON form, without what was not said."""
        return self.model_dump(mode="json", exclude_unset=True)

    def as_row(self) -> dict[str, Any]:
        """Its form in the API and the command line, which call source and target by the names of their columns."""
        said = self.as_json()
        return {"source_path": said.pop("source", None), "target_field": said.pop("target"), **said}


class Id(Declared):
    """How a record's id is read: text or a whole number, of one path or of several joined."""

    paths: Paths
    by: Annotated[str, Field(max_length=5)] = Field(default=":", description="Between the parts.")


class Tombstone(Declared):
    """Which records of a list are deleted ones: those where the value is one of these, or any but null and false."""

    path: Path
    values: tuple[Scalar, ...] = Field(default=(), max_length=50)
    at: Path | None = Field(default=None, description="When it was deleted, as `moment` reads it.")


class StreamRules(Declared):
    """How a whole stream is mapped: its ids, its tombstones and its fields."""

    version: Literal[1] = VERSION
    id: Id
    tombstone: Tombstone | None = None
    rules: Annotated[tuple[Rule, ...], Field(max_length=MOST_RULES)]


RULES = TypeAdapter(Annotated[tuple[Rule, ...], Field(max_length=MOST_RULES)])
"""What validates a list of rules."""


def read_rules(found: Any) -> tuple[Rule, ...]:
    """Rules of their JSON form, already decoded: a list of objects, or one.

    Raises:
        RuleError: If one is not a rule; it says which and what is wrong, without its values.
    """
    try:
        return RULES.validate_python([found] if isinstance(found, dict) else found)
    except ValidationError as error:
        raise RuleError(described(error)) from None


def described(error: ValidationError) -> str:
    """What is wrong with declarations, with its place (``0.steps.1.money.unit``), without the values."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {reason(fault)}" for fault in faults[:10])


def digest(rules: StreamRules | Iterable[Rule]) -> str:
    """A hash of what rules say, whatever their order: it changes when one of them, or the language, does."""
    if isinstance(rules, StreamRules):
        said = rules.model_dump(mode="json", exclude_unset=True)
        said["rules"] = _in_order(rules.rules)
    else:
        said = {"rules": _in_order(rules)}
    return sha256(msgspec.json.encode([VERSION, said], order="deterministic")).hexdigest()


def _in_order(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    return [rule.as_json() for rule in sorted(rules, key=lambda rule: rule.target)]
