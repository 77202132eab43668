"""The stand-ins for the providers in a process of their own: started, asked what they hold, changed."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from unified.cli.processes.child import PATIENCE_SECONDS, child
from unified.cli.processes.local import local

STATE_FILE = "demo.json"


@dataclass(frozen=True, slots=True)
class SandboxPlan:
    """Where the demo's stand-ins listen and how much they hold; `unified dev` starts the same again.

    Attributes:
        port: On 127.0.0.1; the demo's connections point there.
        records: Customers and invoices of each account; half as many in HubSpot and Salesforce.
    """

    port: int
    records: int

    def save(self, folder: Path) -> None:
        """Keep it in the installation's home."""
        (folder / STATE_FILE).write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> "SandboxPlan | None":
        """What the last demo left, or None."""
        path = folder / STATE_FILE
        return cls(**json.loads(path.read_text())) if path.is_file() else None


class Sandbox:
    """A running sandbox, spoken to by its control API (`unified.sandbox.control`)."""

    def __init__(self, port: int) -> None:
        """Speak to the sandbox on a port of this machine."""
        self.url = f"http://127.0.0.1:{port}"

    def oracle(self, connector: str, key: str) -> dict[str, Any]:
        """``counts`` and ``totals`` that a complete copy of a key's account holds."""
        answer: dict[str, Any] = self._ask("GET", f"{connector}/oracle", params={"key": key})
        return answer

    def change(self, connector: str, key: str, what: str, *args: str, **fields: Any) -> None:
        """Change the data of a key's account: ``change("stripe", key, "update_customer", "cus_…", name="New")``."""
        order = {"do": what, "key": key, "args": args, "fields": fields}
        self._ask("POST", f"{connector}/mutate", json=order)

    def requests(self, connector: str) -> dict[str, int]:
        """How many requests came, by endpoint."""
        counts: dict[str, int] = self._ask("GET", f"{connector}/stats")["requests"]
        return counts

    def deliver(self, connector: str, key: str, url: str, secret: str) -> None:
        """Deliver the events of a key's account to a URL from now on, signed with a secret."""
        self._ask("POST", f"{connector}/webhooks", json={"key": key, "url": url, "secret": secret})

    def answers(self) -> bool:
        """Whether it takes requests."""
        try:
            self._ask("GET", "stripe/stats")
        except httpx.TransportError:
            return False
        return True

    def _ask(self, method: str, path: str, **order: Any) -> Any:
        answer = local().request(method, f"{self.url}/_sandbox/{path}", timeout=60, **order)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def running_sandbox(plan: SandboxPlan, log: Path, *, patience: float = PATIENCE_SECONDS) -> Iterator[Sandbox]:
    """Run the stand-ins for the length of a block.

    Args:
        plan: Where, and how many records.
        log: Where their output goes.
        patience: Seconds that they may start without showing progress.

    Raises:
        CommandError: If they do not start.
    """
    sizes = {
        "stripe-customers": plan.records,
        "stripe-invoices": plan.records,
        "hubspot-contacts": plan.records,
        "hubspot-companies": max(1, plan.records // 4),
        "hubspot-invoices": plan.records // 2,
        "salesforce-accounts": plan.records // 2,
        "salesforce-contacts": plan.records,
        "salesforce-invoices": plan.records // 2,
        "quickbooks-customers": plan.records,
        "quickbooks-invoices": plan.records,
        "xero-contacts": plan.records,
        "xero-invoices": plan.records,
    }
    arguments = [sys.executable, "-m", "unified.sandbox", f"--port={plan.port}"]
    arguments += [f"--{name}={size}" for name, size in sizes.items()]
    with child("the sandbox", arguments, log) as process:
        sandbox = Sandbox(plan.port)
        process.wait_until(sandbox.answers, patience)
        yield sandbox
