"""What stops a connection's secrets from being stored or released.

CredentialError
├── InvalidCredentialError   what should be stored is not usable
├── CredentialNotFoundError  the connection has none
├── CredentialExpiredError   one is past its expiry
└── CredentialTamperedError  one is not as and where it was stored
"""

from unified.store.errors import StoreError


class CredentialError(StoreError):
    """A connection's secrets can't be stored or released."""


class InvalidCredentialError(CredentialError):
    """What should be stored is not a usable credential."""


class CredentialNotFoundError(CredentialError):
    """The connection has no credentials."""


class CredentialExpiredError(CredentialError):
    """A credential is past its expiry."""


class CredentialTamperedError(CredentialError):
    """A stored credential was changed, or copied from another place."""
