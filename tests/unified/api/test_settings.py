"""What the environment may say about the server, and what it may not."""

import pytest

from unified.api.settings import SettingError, Settings

HERE = "http://127.0.0.1:8000"


def test_nothing_set_is_the_defaults() -> None:
    assert Settings.from_environment({}, address=HERE) == Settings(public_url=HERE)


def test_what_is_set_counts() -> None:
    environment = {
        "UNIFIED_PUBLIC_URL": "https://hooks.example.com/unified/",
        "UNIFIED_WEBHOOK_MAX_BYTES": "5000",
        "UNIFIED_WEBHOOK_RATE": "7",
    }
    assert Settings.from_environment(environment, address=HERE) == Settings(
        public_url="https://hooks.example.com/unified", body_bytes=5_000, endpoint_rate=7, endpoint_burst=35
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("UNIFIED_PUBLIC_URL", "hooks.example.com"),
        ("UNIFIED_PUBLIC_URL", "ftp://hooks.example.com"),
        ("UNIFIED_PUBLIC_URL", "https://hooks.example.com/?a=b"),
        ("UNIFIED_WEBHOOK_MAX_BYTES", "1 MiB"),
        ("UNIFIED_WEBHOOK_MAX_BYTES", "0"),
        ("UNIFIED_WEBHOOK_RATE", "-1"),
        ("UNIFIED_WEBHOOK_RATE", "²"),
    ],
)
def test_what_can_not_be_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name):
        Settings.from_environment({name: value}, address=HERE)
