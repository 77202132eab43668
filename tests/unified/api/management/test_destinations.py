"""Where a tenant may lead a connection through the API: to the provider, or where the installation lets it."""

from typing import Any, ClassVar

import pytest

from adapters.stripe.adapter import StripeAdapter, StripeConfig
from unified.api.management.destinations import destination_check
from unified.api.management.problems import explained
from unified.api.settings import ManagementSettings
from unified.kit.declarations import AdapterConfig
from unified.kit.origins import origin_of
from unified.kit.settings import UnusableSettingsError, checked_settings


class _Anywhere(StripeAdapter):
    """A connector without an address of its own."""

    name = "anywhere"
    config_model: ClassVar[type[AdapterConfig]] = AdapterConfig


OPEN = frozenset({"sandbox.test:8080", "10.0.0.7"})


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"retry_count": 2},
        {"base_url": "https://api.stripe.com"},
        {"base_url": "https://api.stripe.com:443/v1"},
        {"base_url": "http://sandbox.test:8080/stripe", "allow_private_hosts": True},
        {"base_url": "http://10.0.0.7/stripe", "allow_private_hosts": True},
    ],
)
def test_the_provider_and_what_the_installation_opens_are_taken(settings: dict[str, Any]) -> None:
    assert checked_settings(StripeAdapter, settings, destination_check(OPEN)) == settings


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"base_url": "https://evil.test"}, "base_url"),
        ({"base_url": "https://api.stripe.com.evil.test"}, "base_url"),
        ({"base_url": "https://api.stripe.com@evil.test"}, "base_url"),
        ({"base_url": "https://evil.test#api.stripe.com"}, "base_url"),
        ({"base_url": "http://api.stripe.com"}, "base_url"),
        ({"base_url": "https://api.stripe.com:8443"}, "base_url"),
        ({"base_url": "http://sandbox.test:8080"}, "base_url"),
        ({"base_url": "http://sandbox.test:9090", "allow_private_hosts": True}, "allow_private_hosts"),
        ({"allow_private_hosts": True}, "allow_private_hosts"),
        ({"base_url": "http://169.254.169.254", "allow_private_hosts": True}, "allow_private_hosts"),
        ({"base_url": "file:///etc/passwd"}, "base_url"),
        ({"base_url": "https://[::1"}, "base_url"),
        ({"base_url": "https://host:99999"}, "base_url"),
        ({"base_url": "https://api.stripe.com\\@evil.test"}, "base_url"),
        ({"retry_count": 99}, "retry_count"),
        ({"evil": 1}, ""),
    ],
)
def test_anything_else_is_refused_by_name_and_without_its_value(
    settings: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(UnusableSettingsError) as refused:
        checked_settings(StripeAdapter, settings, destination_check(OPEN))
    problem = explained(refused.value)
    assert problem.status == 422
    assert [error["pointer"] for error in problem.errors] == [f"/body/settings/{pointer}".rstrip("/")]
    assert "evil" not in repr((problem.detail, problem.errors))


def test_a_connector_without_an_address_of_its_own_may_lead_to_any_host_by_https() -> None:
    assert checked_settings(
        _Anywhere, {"base_url": "https://crm.example.com/api"}, destination_check(frozenset())
    )
    for settings in (
        {"base_url": "http://crm.example.com"},
        {"base_url": "https://10.0.0.7", "allow_private_hosts": True},
    ):
        with pytest.raises(UnusableSettingsError):
            checked_settings(_Anywhere, settings, destination_check(frozenset()))


def test_the_origin_tells_apart_whom_credentials_go_to() -> None:
    usual = origin_of(StripeConfig, {})
    assert usual == origin_of(StripeConfig, {"base_url": "https://API.stripe.com:443/other"})
    assert usual != origin_of(StripeConfig, {"base_url": "http://api.stripe.com"})


def test_hosts_come_from_the_environment() -> None:
    assert ManagementSettings.from_environment({}).open_hosts == frozenset()
    environment = {"UNIFIED_API_HOSTS": " Sandbox.test:8080, 10.0.0.7 ,"}
    assert ManagementSettings.from_environment(environment).open_hosts == OPEN
