"""What a write would change at a system, for the tests of both adapters that write."""

from adapters.base import BaseAdapter
from unified_schema.base import UnifiedBase


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
        if adapter.from_unified(current, (field,)) != adapter.from_unified(desired, (field,))
    )
