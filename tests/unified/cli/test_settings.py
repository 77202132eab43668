"""Settings as they are typed: `--set KEY=VALUE`."""

import pytest

from unified.cli.session import UsageError
from unified.cli.settings import assignments_of, shown_settings


def test_a_value_is_taken_as_it_is_typed() -> None:
    given = ["prefix=Bearer ", "signed={time}={body}", " header =x-token", "none="]
    assert assignments_of(given) == {
        "prefix": "Bearer ",
        "signed": "{time}={body}",
        "header": "x-token",
        "none": "",
    }


def test_what_assigns_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="--set takes KEY=VALUE, not 'prefix'"):
        assignments_of(["prefix"])


def test_settings_are_shown_as_set_takes_them() -> None:
    settings = {"site": "acme", "properties": ["size", "größe"], "code": "7", "lag": 7, "on": True}
    assert shown_settings(settings) == 'site=acme, properties=["size", "größe"], code="7", lag=7, on=true'
