"""Properties that settings name: asked for when a connection is tried, and one that is misspelt is refused."""

import pytest

from tests.adapters.hubspot.conftest import Portal
from unified.kit.errors import ConfigurationError


async def test_properties_that_the_account_has_are_taken(portal: Portal) -> None:
    async with portal.adapter(properties=["jobtitle", "hs_due_date"], key_property="email") as adapter:
        portal.sandbox.stats.reset()
        await adapter.test()
    requests = portal.sandbox.stats.report()["requests"]
    assert requests["GET /crm/properties/{version}/{kind}"] == 3
    async with portal.adapter() as adapter:
        portal.sandbox.stats.reset()
        await adapter.test()
    assert "GET /crm/properties/{version}/{kind}" not in portal.sandbox.stats.report()["requests"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"properties": ["jobtitle", "jobtilte"]},
            r"no property jobtilte of contacts or invoices .*mean jobtitle\?",
        ),
        (
            {"properties": ["zzz"]},
            "no property zzz of contacts or invoices in this account: look at its spelling",
        ),
        ({"key_property": "hs_due_date"}, "no property hs_due_date of contacts in this account"),
    ],
    ids=["misspelt", "unlike any", "of another object"],
)
async def test_those_that_it_does_not_have_are_refused(
    portal: Portal, settings: dict[str, object], said: str
) -> None:
    async with portal.adapter(**settings) as adapter:
        with pytest.raises(ConfigurationError, match=said):
            await adapter.test()


async def test_nothing_is_refused_that_the_token_may_not_look_up(portal: Portal) -> None:
    portal.fault("status", "/crm/properties/", status=403, times=None)
    async with portal.adapter(properties=["jobtilte"], key_property="emial") as adapter:
        await adapter.test()
