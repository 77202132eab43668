"""The same installation as for the assets' tests, and the credential store as a resource."""

from resources.store import CredentialStoreResource
from tests.unified_assets.conftest import installation

__all__ = ["CREDENTIALS", "installation"]

CREDENTIALS = CredentialStoreResource()
