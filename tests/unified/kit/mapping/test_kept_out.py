"""A rule that names a column of the table, which another field of the source's record fills."""

from typing import Any

import pytest

from tests.unified.kit.mapping.records import ORIGIN
from unified.kit.errors import ConfigurationError
from unified.kit.mapping.column_rules import Treatment
from unified.kit.mapping.columns import Columns
from unified.kit.mapping.kept_out import KeptOut
from unified.schema import UnifiedCustomer

HASHED = Columns({"customers": {"name": "hash"}}, bytes(32)).of("customers")


def check(treatment: Treatment, field: str, **values: Any) -> None:
    columns = Columns({"customers": {field: treatment}})
    KeptOut("customers", UnifiedCustomer, columns).check(UnifiedCustomer(**ORIGIN.identify("1"), **values))


@pytest.mark.parametrize(
    ("treatment", "field", "values"),
    [
        ("omit", "name", {"name": "Ada King"}),
        ("omit", "Name", {"name": "Ada King"}),
        ("hash", "name", {"name": "Ada King"}),
        ("omit", "custom_fields", {"custom_fields": {"note": "x"}}),
    ],
)
def test_a_value_of_the_source_is_refused(treatment: Treatment, field: str, values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"customers.{field.lower()} is to be .* another field"):
        check(treatment, field, **values)


def test_what_is_empty_hashed_or_of_another_column_may_stay() -> None:
    assert HASHED is not None
    hashed = HASHED(b'{"name":"Ada King"}').decode().split('"')[3]
    check("omit", "name")
    check("hash", "name", name=hashed)
    check("omit", "properties.name", name="Ada King")
    check("omit", "email", name="Ada King")
