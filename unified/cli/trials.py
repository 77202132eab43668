"""What rules did to sample records, as commands show it; the trial itself is :mod:`unified.kit.mapping.trial`'s."""

from collections.abc import Mapping

from unified.cli.output import say, table
from unified.kit.errors import counted
from unified.kit.mapping.trial import Trial


def show_trial(trial: Trial, *, empty: str) -> None:
    """Print rule by rule what each filled, and say what to look at. Values are shapes.

    Args:
        trial: What rules did.
        empty: What to say where there are none.
    """
    table(
        ("FIELD", "SOURCE PATH", "FILLED", "NULL", "FAILED", "HOLDS", "WHY", "EXAMPLE"),
        (
            (
                one.target,
                one.source,
                one.filled,
                one.null,
                one.rejected,
                _counted(one.types),
                _counted(one.reasons),
                " > ".join(one.examples[0]) if one.examples else None,
            )
            for one in trial.rules
        ),
        empty=empty,
    )
    for reason, count in trial.rejected.items():
        say(f"{count:,} of {counted(trial.records, 'record')} would be set aside: {reason}")
    for remark in trial.remarks:
        say(f"Look at this: {remark}.")


def _counted(found: Mapping[str, int]) -> str:
    return ", ".join(f"{what} ({count:,})" for what, count in list(found.items())[:3])
