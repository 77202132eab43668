"""Whether a portal has the properties that a connection's settings name: HubSpot reads one that it has not as nothing.

How they are read: ``related``; how they are written: ``writing``.
"""

from collections.abc import Collection
from itertools import product

import msgspec

from adapters.hubspot.api import VERSION
from unified.kit.errors import ConfigurationError, PermissionDeniedError, did_you_mean
from unified.kit.http.client import HttpClient

# Each is a list of its own (https://developers.hubspot.com/docs/api-reference/latest/crm/properties/get-properties),
# and names of sensitive ones are listed without the scopes that their values take
# (https://developers.hubspot.com/docs/api-reference/latest/crm/properties/sensitive-data).
_SENSITIVITIES = ("non_sensitive", "sensitive", "highly_sensitive")


class _Property(msgspec.Struct):
    name: str


class _Properties(msgspec.Struct):
    results: list[_Property]


_PROPERTIES = msgspec.json.Decoder(_Properties)


async def refuse_unknown(http: HttpClient, names: Collection[str], kinds: Collection[str]) -> None:
    """Refuse names of properties that none of some kinds of objects has.

    Where the token may not list a kind's properties, nothing is refused.

    Args:
        http: Open.
        names: As the settings have them.
        kinds: As HubSpot calls them: ``contacts``.

    Raises:
        ConfigurationError: If there is such a name; it says which may have been meant.
        ProviderError: If HubSpot does not answer as documented.
    """
    known: set[str] = set()
    missing = list(names)
    for sensitivity, kind in product(_SENSITIVITIES, kinds):
        if not missing:
            return
        path, params = f"/crm/properties/{VERSION}/{kind}", [("dataSensitivity", sensitivity)]
        try:
            answer = await http.request("GET", path, _PROPERTIES, params=params)
        except PermissionDeniedError:
            return
        known.update(one.name for one in answer.results)
        missing = [name for name in missing if name not in known]
    if missing:
        asked = f"there is no property {missing[0]} of {' or '.join(kinds)} in this account"
        raise ConfigurationError(
            f"{http.label}: {asked}{did_you_mean(missing[0], known) or ': look at its spelling'}"
        )
