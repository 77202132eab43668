"""What an adapter says of itself: settings, hosts, capabilities, streams; all of it is shown to people and obeyed."""

from typing import Any

from pydantic import ValidationError

from unified.conformance.bench import Bench
from unified.conformance.checks import check, once
from unified.kit.declarations import Capability
from unified.kit.errors import ConfigurationError, ForbiddenHostError
from unified.kit.registry import get_adapter
from unified.kit.writing.changes import Write


@check(once)
async def is_found_by_its_name(bench: Bench) -> None:
    """The registry hands out this very class, for a name that may stand in a table's and an asset's."""
    assert get_adapter(bench.adapter_class.name) is bench.adapter_class
    assert bench.adapter_class.name.isidentifier()
    assert bench.adapter_class.name == bench.adapter_class.name.lower()
    assert bench.adapter_class.display_name


@check(once)
async def capabilities_are_those_that_it_has(bench: Bench) -> None:
    """Each claim has what belongs to it, and nothing is there without its claim."""
    adapter = bench.adapter_class
    assert Capability.READ in adapter.capabilities
    assert (Capability.WEBHOOK in adapter.capabilities) == bool(adapter.verifiers)
    assert (Capability.WRITE in adapter.capabilities) == any(one.writable_fields for one in adapter.streams)
    assert Capability.DELETE not in adapter.capabilities or Capability.WRITE in adapter.capabilities
    assert bool(adapter.verifiers) == bool(bench.webhook_secret), "the bench needs a secret for deliveries"


@check(once)
async def streams_are_named_once_and_write_what_their_entity_has(bench: Bench) -> None:
    """A stream's name is unique, and its writable fields are the model's."""
    names = [stream.name for stream in bench.adapter_class.all_streams()]
    assert len(names) == len(set(names))
    for stream in bench.adapter_class.all_streams():
        assert stream.name == stream.name.lower()
        assert stream.writable_fields <= stream.entity.model.model_fields.keys()
        assert stream.customers is None or stream.customers in names


@check(once)
async def settings_and_credentials_say_what_they_are(bench: Bench) -> None:
    """Each has words for the person who fills it in, and nothing secret is a setting."""
    for name, field in bench.adapter_class.config_model.model_fields.items():
        assert field.description, f"the setting {name} has no description"
    for credential in bench.adapter_class.credential_fields:
        assert credential.label, f"the credential {credential.name} has no label"
        assert credential.hint, f"the credential {credential.name} has no hint"
        assert credential.name not in bench.adapter_class.config_model.model_fields
    try:
        bench.adapter_class.config_model.model_validate({**_settings(bench), "no_such_setting": 1})
    except ValidationError:
        return
    raise AssertionError("a setting that does not exist was accepted")


@check(once)
async def only_its_own_hosts_are_asked(bench: Bench) -> None:
    """A base URL elsewhere, without TLS or at a private address is refused before anything is sent."""
    hosts = bench.adapter_class.config_model.hosts
    addresses = ["http://8.8.8.8", "https://127.0.0.1:9", "https://[::1]:9", "https://169.254.169.254"]
    addresses += [f"https://{host}.attacker.example" for host in hosts]
    for address in addresses:
        try:
            async with bench.open(base_url=address, allow_private_hosts=False, retry_count=0) as adapter:
                await adapter.test()
        except ConfigurationError as error:  # ForbiddenHostError is one
            assert isinstance(error, ForbiddenHostError) or "base_url" in str(error)
        else:
            raise AssertionError(f"{address} was asked")
    assert not bench.provider.stats.requests


@check(once)
async def a_missing_credential_is_named(bench: Bench) -> None:
    """Before anything is sent, and with what to do."""
    fields = bench.adapter_class.credential_fields
    needed = fields[0].label if fields else "`unified connections authorize"
    adapter = bench.adapter_class(bench.open().config, {}, bench.open().connection)
    try:
        await adapter.connect()
    except ConfigurationError as error:
        assert adapter.connection.key in str(error)
        assert needed in str(error)
    else:
        raise AssertionError("an adapter without its credential was connected")


@check(once)
async def what_is_not_written_is_refused_in_words(bench: Bench) -> None:
    """A stream that does not exist or is not written ends in a ConfigurationError, not in a request."""
    async with bench.open() as adapter:
        for name in ["no_such_stream", *(one.name for one in adapter.streams if not one.writable_fields)]:
            try:
                async for _ in adapter.write(name, [Write("create", None, {}, "acme/1/1")]):
                    pass
            except ConfigurationError:
                continue
            raise AssertionError(f"{name} was written")
    assert not bench.provider.stats.requests


def _settings(bench: Bench) -> dict[str, Any]:
    return {"base_url": bench.url, **bench.settings}
