"""Writing to a system, and what it would change there, for the tests of both adapters that write."""

from typing import Any, Protocol

from unified.kit.adapter import BaseAdapter
from unified.kit.errors import ProviderError
from unified.kit.writing.changes import Write, Written
from unified.schema.base import UnifiedBase


class WithAdapter(Protocol):
    """A stand-in's account that adapters can be opened for."""

    def adapter(self, **settings: Any) -> Any:
        """An adapter of it, with settings."""
        ...


def changed_fields(
    adapter: BaseAdapter,  # type: ignore[type-arg]
    current: UnifiedBase,
    desired: UnifiedBase,
) -> tuple[str, ...]:
    """Writable fields of customers that the system keeps differently; a custom field that ``desired`` lacks is none."""
    custom = {f"custom_fields.{key}" for key in desired.custom_fields}
    fields = (adapter.stream("customers").writable_fields - {"custom_fields"}) | custom
    return tuple(
        field
        for field in sorted(fields)
        if adapter.from_unified("customers", current, (field,))
        != adapter.from_unified("customers", desired, (field,))
    )


async def write(
    account: WithAdapter, *writes: Write, **settings: Any
) -> tuple[dict[str, Written], ProviderError | None]:
    """What was reported, by idempotency key, each once; and what the push ended with."""
    reported: list[Written] = []
    error = None
    async with account.adapter(**settings) as adapter:
        try:
            async for written in adapter.write("customers", writes):
                reported.append(written)  # noqa: PERF401 - what came before an error counts
        except ProviderError as raised:
            error = raised
    by_key = {written.write.idempotency_key: written for written in reported}
    assert len(by_key) == len(reported)
    return by_key, error
