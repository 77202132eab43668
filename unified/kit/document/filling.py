"""Fills a document's texts with a connection's settings, the values of a partition, and what time it is."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import msgspec

from unified.kit.document.asking.bodies import Body
from unified.kit.document.parts import has_expressions
from unified.kit.errors import ConfigurationError
from unified.kit.mapping import readings
from unified.kit.mapping.expressions.compiling import compile_template
from unified.kit.mapping.expressions.operators import text as written
from unified.kit.mapping.expressions.times import CLOCK
from unified.kit.mapping.refusals import Refused
from unified.kit.reading import lists as kit
from unified.kit.reading.lists import Parameters


class Filler:
    """Fills a document's texts with what they name."""

    def __init__(
        self,
        settings: Mapping[str, str],
        partition: Mapping[str, str],
        label: str,
        now: datetime,
        further: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Take what texts may name.

        Args:
            settings: By name.
            partition: By name; empty outside of one.
            label: Names the connection in errors.
            now: What time it is, for expressions that ask.
            further: What an action names besides.
        """
        self.settings = settings
        self._partition = partition
        self._now = now
        named = {"settings": dict(settings), "partition": dict(partition), **further}
        self._names = tuple(named)
        self._scope = {**named, "now": now}
        self._quoted = {**{name: _segment(value) for name, value in named.items()}, "now": now}
        self._label = label

    def naming(self, further: Mapping[str, Any]) -> "Filler":
        """One for texts that name more besides."""
        return Filler(self.settings, self._partition, self._label, self._now, further)

    def value(self, template: str) -> Any:
        """What an expression gives.

        Raises:
            ConfigurationError: If it does not fit the settings, here and below.
        """
        return self._filled(template, self._scope)

    def text(self, template: str) -> str:
        """A text."""
        text: str = self._filled(template, self._scope, written)
        return text

    def _filled(
        self, template: str, scope: Mapping[str, Any], form: Callable[[Any], Any] = lambda value: value
    ) -> Any:
        try:
            return form(compile_template(template, self._names, CLOCK)(scope))
        except Refused as error:
            raise ConfigurationError(
                f"{self._label}: {template} can't be filled in ({error}); correct the document or the settings"
            ) from None

    def moment(self, template: str) -> datetime:
        """A time.

        Raises:
            ConfigurationError: If it is none.
        """
        try:
            found = readings.moment(self.value(template))
            moment = None if found is None else found.astimezone(UTC)
        except (Refused, OverflowError):  # a zone may move it out of the years 1 to 9999
            moment = None
        if moment is None:
            raise ConfigurationError(
                f"{self._label}: {template} does not give a time of ISO 8601; correct the settings"
            )
        return moment

    def path(self, template: str) -> str:
        """A path: what a setting or a partition holds is one part of it, whatever it is."""
        path: str = self._filled(template, self._quoted, written)
        return path

    def whole_path(self, template: str) -> str:
        """A path of a request that changes something: none of its parts is missing.

        Raises:
            ConfigurationError: If one is.
        """
        path = self.path(template)
        if not all(path.split("/")[1:]) and "{{" in template:
            raise ConfigurationError(
                f"{self._label}: a part of {template} comes to nothing, so nothing is sent"
            )
        return path

    def parameters(self, said: Mapping[str, str]) -> Parameters:
        """Parameters, in the document's order, without those whose expression comes to nothing."""
        filled = [(name, template, self.text(template)) for name, template in said.items()]
        return [(name, value) for name, template, value in filled if value or "{{" not in template]

    def headers(self, said: Mapping[str, str]) -> dict[str, str]:
        """Headers, without those whose expression comes to nothing.

        Raises:
            ConfigurationError: If one can't be sent, as a name that is not ASCII can't.
        """
        filled = dict(self.parameters(said))
        for name, value in filled.items():
            if not (value.isascii() and value.isprintable()):
                raise ConfigurationError(
                    f"{self._label}: the header {name} would hold characters that no header can carry; correct the "
                    "document or the settings"
                )
        return filled

    def body(self, said: Body) -> kit.Body:
        """A body; a text that is an expression alone becomes the value that it gives."""
        is_form = said.kind == "form"
        fields = {name: self._json(value, is_text=is_form) for name, value in said.fields.items()}
        return kit.Body(fields, is_form)

    def _json(self, value: Any, *, is_text: bool = False) -> Any:
        if isinstance(value, dict):
            return {name: self._json(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self._json(one) for one in value]
        if not isinstance(value, str) or not has_expressions(value):
            return value
        return self.text(value) if is_text else self._filled(value, self._scope, _with_digits)


def _with_digits(value: Any) -> Any:
    """What an expression gave, as the client writes it: a decimal number as a number, digit by digit.

    Raises:
        Refused: If it has more digits than expressions take: 1e999999999 would be a gigabyte.
    """
    if isinstance(value, Decimal):
        return msgspec.Raw(written(value).encode())
    if isinstance(value, dict):
        return {name: _with_digits(one) for name, one in value.items()}
    return [_with_digits(one) for one in value] if isinstance(value, list) else value


def _segment(value: Any) -> Any:
    """Values as parts of a path: one part each, which leads nowhere else."""
    if isinstance(value, dict):
        return {name: _segment(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_segment(one) for one in value]
    if not isinstance(value, str):
        return value
    return quote(value, safe="") if value.strip(".") or not value else value.replace(".", "%2E")
