"""A document as YAML, with what a person should look at above it, and the words for what a model refuses."""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from unified.kit.decoding import reason

_LONGEST_LINE = 110


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Writes each value out: documents have no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - of none
        return True


def as_yaml(document: Mapping[str, Any], remarks: Iterable[str]) -> str:
    """A document's YAML.

    Args:
        document: What it says, in the order in which it is written.
        remarks: What a person should look at before it is installed.
    """
    comments = [f"# Look at this: {' '.join(remark.split())}\n" for remark in remarks]
    text: str = yaml.dump(
        dict(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_LONGEST_LINE
    )
    return "".join(comments) + text


def because(error: ValidationError) -> str:
    """What a model refuses, without the values, on one line."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)[:3]
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {reason(one)}" for one in faults)
