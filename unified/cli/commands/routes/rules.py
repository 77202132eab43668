"""How people write a route's field rules and conditions on the command line."""

import json
from typing import Any, get_args

from unified.cli.session import UsageError
from unified.schema.conditions import OPERATORS, Condition
from unified.store.routes.settings import Policy, RouteField


def rule_of(text: str) -> RouteField:
    """Read ``FIELD[=TARGET][:POLICY]``.

    Raises:
        UsageError: If it is none.
    """
    names, _, policy = text.partition(":")
    source, _, target = names.partition("=")
    word = policy.replace("-", "_")
    if not source or (policy and word not in get_args(Policy)):
        words = ", ".join(one.replace("_", "-") for one in get_args(Policy))
        raise UsageError(f"--field is FIELD[=TARGET][:POLICY] with a policy of {words}, not {text!r}")
    policies: dict[str, Policy] = {one: one for one in get_args(Policy)}
    return RouteField(source, target or source, policies.get(word))


def condition_of(text: str) -> Condition:
    """Read ``FIELD OPERATOR [VALUE]``; several values of ``in`` and ``not_in`` are separated by commas.

    Raises:
        UsageError: If it is none.
    """
    field, _, rest = text.strip().partition(" ")
    operator, _, value = rest.strip().partition(" ")
    if operator not in OPERATORS:
        raise UsageError(
            f"--where is FIELD OPERATOR [VALUE] with an operator of {', '.join(OPERATORS)}, not {text!r}"
        )
    if operator in ("in", "not_in"):
        return Condition(field, operator, [_value(one.strip()) for one in value.split(",")])
    return Condition(field, operator, _value(value.strip()) if value.strip() else None)


def _value(text: str) -> Any:
    """``true`` and ``false`` are truth values; everything else is text, as fields are."""
    return json.loads(text) if text in ("true", "false") else text
