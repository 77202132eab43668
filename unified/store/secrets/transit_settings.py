"""Where a key of Vault's transit engine is, and how to be let in. What it is asked: `unified.store.secrets.transit`."""

from dataclasses import dataclass, field
from pathlib import Path

from unified.kit.errors import ConfigurationError
from unified.kit.secrets import Secret

KUBERNETES_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


@dataclass(frozen=True, slots=True)
class VaultLogin:
    """An auth method that gives a token for something else.

    Attributes:
        mount: Where the method is mounted: ``approle``, ``kubernetes``.
        role_id: Of an AppRole; None for Kubernetes.
        secret_id: Of an AppRole.
        kubernetes_role: The role to log in for with the pod's own service account.
    """

    mount: str
    role_id: str | None = None
    secret_id: Secret | None = None
    kubernetes_role: str | None = None

    def fields(self) -> dict[str, str]:
        """What to send.

        Raises:
            ConfigurationError: If the pod's token can't be read.
        """
        if self.kubernetes_role is None:
            fields = {"role_id": self.role_id or ""}
            return fields | ({"secret_id": self.secret_id.reveal()} if self.secret_id else {})
        try:
            return {"role": self.kubernetes_role, "jwt": KUBERNETES_TOKEN.read_text().strip()}
        except OSError as error:
            msg = f"Vault: the service account's token in {KUBERNETES_TOKEN} can't be read: {error.strerror}"
            raise ConfigurationError(msg) from error


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """Where a key is, and how to be let in.

    Attributes:
        address: ``https://vault.example.com:8200``; plain http only on this machine, as for Vault's agent.
        key: Name of the transit key.
        credential: A token, or a log-in that gives one.
        mount: Where the transit engine is mounted.
        namespace: Of Vault Enterprise.
        ca_file: Certificates to trust instead of the system's.
    """

    address: str
    key: str
    credential: Secret | VaultLogin
    mount: str = "transit"
    namespace: str | None = None
    ca_file: str | None = field(default=None)
