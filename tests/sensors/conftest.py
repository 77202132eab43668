"""The same installation as for the assets' tests."""

from tests.unified_assets.conftest import installation

__all__ = ["installation"]
