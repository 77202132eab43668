"""A secret value that does not show itself."""

from typing import NoReturn


class Secret:
    """Text that only :meth:`reveal` gives away.

    Its ``repr``, ``str`` and format are masked, and it refuses to be pickled, so it can't leave the process by
    accident: in a log line, an exception, a run's configuration or a child process.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap ``value``.

        Raises:
            ValueError: If ``value`` is empty; an empty secret is a missing one.
        """
        if not value:
            msg = "a secret must not be empty"
            raise ValueError(msg)
        self._value = value

    def reveal(self) -> str:
        """The plain text. Call it where the value is used, and keep the result in no longer-lived place."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('********')"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        msg = "a Secret is never pickled; pass the connection's id instead"
        raise TypeError(msg)
