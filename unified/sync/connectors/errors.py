"""Why a document is not installed, upgraded or removed."""

from unified.kit.errors import ConfigurationError


class InstallError(ConfigurationError):
    """A document can't be installed, upgraded or removed as things stand."""


class AgreementError(InstallError):
    """What is to be installed is deprecated, or an upgrade reaches further than before, and nobody agreed."""
