"""What signs a subscription's deliveries: its secret, and for a while the one before, once it was rotated.

Both are one sealed text, so they are replaced at once and encrypted anew together. Standard Webhooks has a delivery
carry a signature by each
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme").
"""

import secrets as randomness
from base64 import b64encode
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self

from unified.kit.secrets import Secret

_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Signing:
    """What signs.

    Attributes:
        secret: The one that receivers are given.
        former: The one before; None where there is none.
        former_until: When that one signs no more.
    """

    secret: Secret
    former: Secret | None = None
    former_until: datetime | None = None

    @classmethod
    def new(cls) -> Self:
        """A secret that nobody has."""
        return cls(Secret(f"whsec_{b64encode(randomness.token_bytes(_SECRET_BYTES)).decode()}"))

    @classmethod
    def of(cls, sealed: Secret) -> Self:
        """What :meth:`as_text` made a text of."""
        secret, *former = sealed.reveal().split()
        if not former:
            return cls(Secret(secret))
        return cls(Secret(secret), Secret(former[0]), datetime.fromtimestamp(float(former[1]), UTC))

    def as_text(self) -> Secret:
        """Both as one text, to be sealed."""
        if self.former is None or self.former_until is None:
            return self.secret
        return Secret(f"{self.secret.reveal()} {self.former.reveal()} {self.former_until.timestamp():.0f}")

    def rotated(self, former_until: datetime) -> Self:
        """With a new secret; the present one signs until a time, and one from before no longer."""
        return replace(self.new(), former=self.secret, former_until=former_until)

    def at(self, now: datetime) -> list[Secret]:
        """What signs at a time, the present secret first."""
        if self.former is not None and self.former_until is not None and now < self.former_until:
            return [self.secret, self.former]
        return [self.secret]
