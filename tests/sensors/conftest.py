"""The same installation as for the assets' tests, and the credential store as a resource."""

from resources.store import CredentialStoreResource
from tests.unified_assets.conftest import dagster_home, installation, stored_instance

__all__ = ["CREDENTIALS", "dagster_home", "installation", "stored_instance"]

CREDENTIALS = CredentialStoreResource()
