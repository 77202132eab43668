"""Why a document is not installed, upgraded or removed."""

from unified.kit.errors import ConfigurationError


class InstallError(ConfigurationError):
    """A document can't be installed, upgraded or removed as things stand."""


class AgreementError(InstallError):
    """An upgrade reaches further than what is installed, and nobody agreed."""
