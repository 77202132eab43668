"""The settings of a connection: checked by its connector's model, and led to a host of its system.

Where a tenant may lead a credential is the API's rule (`unified.api.management.destinations`); it comes in here as
a check of the settings. Who adds and changes connections: `unified.sync.connections`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import AdapterConfig
from unified.kit.errors import ConfigurationError, did_you_mean
from unified.kit.origins import usable_base_url

Fault = Mapping[str, Any]
"""What is wrong with a setting: ``loc``, ``type`` and ``msg``, as pydantic says it, without the value.

``near`` asks whether another one was meant, of a setting that there is not.
"""

# For a person, where pydantic's words are for the author of a model.
_WORDS = {
    "missing": "it is needed",
    "extra_forbidden": "there is no such setting",
    "int_parsing": "it takes a whole number",
    "float_parsing": "it takes a number",
    "bool_parsing": "it takes true or false",
    "tuple_type": 'it takes a list in JSON, such as ["one", "two"]',
}

Check = Callable[[type[BaseAdapter[Any]], AdapterConfig], Fault | None]
"""A further rule for settings that fit the connector's model."""


class UnusableSettingsError(ConfigurationError):
    """Settings do not fit their connector.

    Attributes:
        connector: The connector.
        faults: What is wrong, setting by setting.
    """

    def __init__(self, connector: str, faults: Sequence[Fault]) -> None:
        found = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {_WORDS.get(fault['type'], fault['msg'])}{fault.get('near', '')}"
            for fault in faults
        )
        super().__init__(f"these settings do not fit {connector}: {found}")
        self.connector = connector
        self.faults = faults


def typed_number(text: str) -> int | float | str:
    """The number that somebody typed; the text itself where it is not one, for a model to refuse."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def checked_settings(
    adapter: type[BaseAdapter[Any]], settings: Mapping[str, Any], check: Check | None = None
) -> dict[str, Any]:
    """The settings to store: only those that were given, checked by the adapter's model.

    Args:
        adapter: Whose settings.
        settings: JSON values by name.
        check: A further rule.

    Raises:
        UnusableSettingsError: If they do not fit; it names the settings, never their values.
    """
    try:
        config = adapter.config_model.model_validate(dict(settings))
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
        known = adapter.config_model.model_fields
        raise UnusableSettingsError(
            adapter.name,
            [
                {**fault, "near": did_you_mean(str(fault["loc"][0]), known)}
                if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1
                else {**fault}
                for fault in faults
            ],
        ) from None
    if check and (fault := check(adapter, config)):
        raise UnusableSettingsError(adapter.name, [fault])
    try:
        usable_base_url(config)
    except ConfigurationError as error:
        fault = {"loc": ("base_url",), "type": "destination", "msg": str(error)}
        raise UnusableSettingsError(adapter.name, [fault]) from None
    return config.model_dump(mode="json", exclude_unset=True)
