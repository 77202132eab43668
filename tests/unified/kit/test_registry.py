"""Which adapters are found: those of this checkout, and those of installed packages."""

import sys
from pathlib import Path

import pytest

from adapters.stripe.adapter import StripeAdapter
from unified.kit import registry
from unified.kit.errors import ConfigurationError
from unified.kit.registry import discover_adapters, get_adapter, list_adapters, register_adapter


@pytest.fixture(autouse=True)
def _registered_only_for_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_ADAPTERS", dict(registry._ADAPTERS))


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


@pytest.mark.parametrize("target", ["acme_broken:AcmeAdapter", "acme_missing:AcmeAdapter"])
def test_a_package_that_can_not_be_imported_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: str
) -> None:
    install(monkeypatch, tmp_path, "acme_broken", "import no_such_library\n", target)
    with pytest.raises(ConfigurationError, match=rf"the adapter 'acme' of {target} can't be imported"):
        discover_adapters()


def test_two_adapters_of_one_name_are_refused() -> None:
    class Impostor(StripeAdapter):
        name = "stripe"

    with pytest.raises(ConfigurationError, match="two adapters are called 'stripe'"):
        register_adapter(Impostor)
    assert get_adapter("stripe") is StripeAdapter


def test_registering_twice_does_no_harm() -> None:
    assert register_adapter(StripeAdapter) is StripeAdapter
