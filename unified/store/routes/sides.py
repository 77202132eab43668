"""The two sides of a route."""

from typing import Literal

Side = Literal["source", "target"]
SIDES: tuple[Side, Side] = ("source", "target")


def other(side: Side) -> Side:
    """The side across."""
    return "target" if side == "source" else "source"
