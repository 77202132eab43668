"""Where a tenant may have something sent: a connection's credentials, by its ``base_url``; a subscription's deliveries.

The person who sets a base URL decides who receives the credentials. So through the API it leads to the provider's own
address. Any other host, a private one above all, has to be named by the installation's operator, in
``UNIFIED_API_HOSTS``; no permission inside a workspace replaces that. A connector without an address of its own may
lead to any public host, by https. That credentials never follow a connection to another host is a rule for everybody
(`unified.sync.connections`).

A subscription's URL may be any public one, by https; a private one has to be named there as well.

The HTTP client checks each address once more when it connects (`unified.kit.http.client`): a name may lead
anywhere by then.
"""

from typing import Any

from unified.api.management.problems import Problem
from unified.api.settings import HOSTS_VARIABLE
from unified.kit.adapter import BaseAdapter
from unified.kit.declarations import AdapterConfig
from unified.kit.origins import Origin
from unified.kit.settings import Check, Fault


def destination_check(hosts: frozenset[str]) -> Check:
    """The rule above, as a check of settings.

    Args:
        hosts: Those that the installation opens, each with or without a port.
    """

    def check(adapter: type[BaseAdapter[Any]], config: AdapterConfig) -> Fault | None:
        return _fault_of_destination(adapter, config, hosts)

    return check


def _fault_of_destination(
    adapter: type[BaseAdapter[Any]], config: AdapterConfig, hosts: frozenset[str]
) -> Fault | None:
    origin = Origin.of(config.base_url)
    if origin is None:
        return _fault("base_url", "must look like https://host/path, without a user")
    is_open = _is_open(origin, hosts)
    if config.allow_private_hosts and not is_open:
        return _fault("allow_private_hosts", _closed(origin))
    if origin.scheme != "https" and not config.allow_private_hosts:
        return _fault("base_url", "must be https")
    own = adapter.config_model.model_fields["base_url"]
    if not is_open and not own.is_required() and origin != Origin.of(str(own.default)):
        return _fault(
            "base_url",
            f"must lead to {own.default}; the installation's {HOSTS_VARIABLE} may open other hosts",
        )
    return None


def check_receiver(url: str, hosts: frozenset[str]) -> None:
    """See that a subscription may lead to a loopback or private address.

    Args:
        url: Where it leads.
        hosts: Those that the installation opens, each with or without a port.

    Raises:
        Problem: 422 if it may not.
    """
    origin = Origin.of(url)
    if origin is None or not _is_open(origin, hosts):
        fault = _closed(origin) if origin else "the URL must look like https://host/path, without a user"
        raise Problem(
            422,
            "Deliveries may not go to a private address; errors says why.",
            errors=[{"pointer": "/body/allow_private_hosts", "detail": fault}],
        )


def _is_open(origin: Origin, hosts: frozenset[str]) -> bool:
    return not hosts.isdisjoint({origin.host, f"{origin.host}:{origin.port}"})


def _closed(origin: Origin) -> str:
    return (
        f"the installation's {HOSTS_VARIABLE} does not name {origin.host}:{origin.port}; who runs it adds it there "
        "and starts the server anew"
    )


def _fault(setting: str, detail: str) -> Fault:
    return {"loc": (setting,), "type": "destination", "msg": detail}
