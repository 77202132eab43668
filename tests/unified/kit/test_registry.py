"""Which adapters are found: those of this checkout, and those of installed packages."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from uuid import UUID

import pytest

from adapters.stripe.adapter import StripeAdapter
from unified.kit import moved, registry
from unified.kit.errors import ConfigurationError
from unified.kit.registry import (
    Installed,
    adapters_for,
    discover_adapters,
    get_adapter,
    list_adapters,
    register_adapter,
    set_installed,
)

ONE, OTHER = UUID(int=1), UUID(int=2)


@pytest.fixture(autouse=True)
def _registered_only_for_this_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_ADAPTERS", dict(registry._ADAPTERS))
    yield
    set_installed({})


class Document(StripeAdapter):
    name = "desk"


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, module: str, source: str, target: str) -> None:
    """A package as pip leaves it: a module, and metadata that names its entry point."""
    (folder / f"{module}.py").write_text(source)
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[unified_assets.adapters]\nacme = {target}\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, module, raising=False)


ACME = """
from adapters.stripe.adapter import StripeAdapter
class AcmeAdapter(StripeAdapter):
    name = "acme"
"""


def test_the_adapters_of_this_checkout_are_found() -> None:
    assert get_adapter("stripe") is StripeAdapter
    assert "stripe" in list_adapters()
    assert list_adapters() == sorted(list_adapters())


def test_an_unknown_connector_is_named_with_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match=r"no connector 'strype'; there is .*stripe"):
        get_adapter("strype")


def test_the_adapter_of_an_installed_package_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install(monkeypatch, tmp_path, "acme_adapter", ACME, "acme_adapter:AcmeAdapter")
    assert get_adapter("acme").__name__ == "AcmeAdapter"
    assert "acme" in discover_adapters()


def test_the_metadata_of_packages_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = discover_adapters()
    monkeypatch.setattr(registry, "entry_points", None)
    assert discover_adapters() == found


@pytest.mark.parametrize("target", ["acme_broken:AcmeAdapter", "acme_missing:AcmeAdapter"])
def test_a_package_that_can_not_be_imported_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: str
) -> None:
    install(monkeypatch, tmp_path, "acme_broken", "import no_such_library\n", target)
    with pytest.raises(ConfigurationError, match=rf"the adapter 'acme' of {target} can't be imported"):
        discover_adapters()


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("from adapters.base import BaseAdapter", "adapters.base is now unified.kit.adapter or"),
        ("import adapters.streams", "adapters.streams is now unified.kit.streams"),
        ("from adapters import errors", "adapters.errors is now unified.kit.errors"),
        ("from unified_schema.money import Money", "unified_schema is now unified.schema"),
        ("import sandbox.server", "sandbox is now unified.sandbox"),
    ],
)
def test_an_adapter_of_an_earlier_release_is_told_the_new_modules(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, where: str
) -> None:
    install(monkeypatch, tmp_path, "acme_old", line + "\n", "acme_old:AcmeAdapter")
    for find in (discover_adapters, lambda: get_adapter("acme")):
        with pytest.raises(
            ConfigurationError, match="'acme' of acme_old:AcmeAdapter is written for an"
        ) as refused:
            find()
        assert where in str(refused.value)


@pytest.mark.parametrize("module", sorted({new for modules in moved.MOVED.values() for new in modules}))
def test_what_is_named_instead_of_a_former_module_is_there(module: str) -> None:
    import_module(module)


def test_two_adapters_of_one_name_are_refused() -> None:
    class Impostor(StripeAdapter):
        name = "stripe"

    with pytest.raises(ConfigurationError, match="two adapters are called 'stripe'"):
        register_adapter(Impostor)
    assert get_adapter("stripe") is StripeAdapter


def test_registering_twice_does_no_harm() -> None:
    assert register_adapter(StripeAdapter) is StripeAdapter


def test_an_installed_connector_is_seen_by_its_workspaces_alone() -> None:
    set_installed({"desk": Installed(Document, frozenset({ONE}))})
    assert get_adapter("desk") is get_adapter("desk", ONE) is discover_adapters()["desk"] is Document
    assert "desk" in adapters_for(ONE)
    assert "desk" not in adapters_for(OTHER)
    assert "desk" not in list_adapters()
    for ask in (lambda: get_adapter("desk", OTHER), lambda: get_adapter("other")):
        with pytest.raises(ConfigurationError, match=r"there is no connector .*; there is") as refused:
            ask()
        assert "desk" not in str(refused.value).partition("there is chargebee")[2]
    set_installed({"desk": Installed(Document)})
    assert "desk" in list_adapters()
    assert get_adapter("desk", OTHER) is Document
    set_installed({})
    with pytest.raises(ConfigurationError, match="there is no connector 'desk'"):
        get_adapter("desk")


def test_a_document_takes_no_package_s_place_and_says_why_it_can_not_be_used() -> None:
    set_installed({"stripe": Installed(Document), "desk": Installed("it was revoked; remove it")})
    assert get_adapter("stripe") is StripeAdapter
    assert "desk" not in discover_adapters()
    with pytest.raises(ConfigurationError, match="it was revoked; remove it"):
        get_adapter("desk")
