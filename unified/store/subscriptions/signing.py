"""What signs a subscription's deliveries: its secret, and for a while those before, once it was rotated.

All are one sealed text, so they are replaced at once and encrypted anew together. Standard Webhooks has a delivery
carry a signature by each
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md, "Signature scheme").
"""

import secrets as randomness
from base64 import b64encode
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

from unified.kit.secrets import Secret
from unified.store.errors import InvalidSettingError

_SECRET_BYTES = 32

MOST_FORMER = 10
"""Former secrets that sign at once. Each is a signature in each delivery."""


class Former(NamedTuple):
    """A secret that was rotated.

    Attributes:
        secret: What signed before.
        until: From when on it does not.
    """

    secret: Secret
    until: datetime


@dataclass(frozen=True, slots=True)
class Signing:
    """What signs.

    Attributes:
        secret: The one that receivers are given.
        former: Those before, the newest first.
    """

    secret: Secret
    former: tuple[Former, ...] = ()

    @classmethod
    def new(cls) -> Self:
        """A secret that nobody has."""
        return cls(Secret(f"whsec_{b64encode(randomness.token_bytes(_SECRET_BYTES)).decode()}"))

    @classmethod
    def of(cls, sealed: Secret) -> Self:
        """What :meth:`as_text` made a text of."""
        secret, *former = sealed.reveal().split()
        pairs = zip(former[::2], former[1::2], strict=True)
        return cls(
            Secret(secret),
            tuple(Former(Secret(one), datetime.fromtimestamp(float(until), UTC)) for one, until in pairs),
        )

    def as_text(self) -> Secret:
        """All of them as one text, to be sealed."""
        former = (f"{one.secret.reveal()} {one.until.timestamp():.0f}" for one in self.former)
        return Secret(" ".join((self.secret.reveal(), *former)))

    def rotated(self, now: datetime, keep: timedelta) -> Self:
        """With a new secret. The present one signs for a while too, and each from before as long as it would have.

        A receiver may be late with the secret before the last one: a second rotation must not cut that off.

        Args:
            now: The time.
            keep: How long the present one signs too; zero where it has leaked, which ends all from before as well.

        Raises:
            InvalidSettingError: If :data:`MOST_FORMER` sign already.
        """
        if not keep:
            return self.new()
        signing = tuple(one for one in self.former if one.until > now)
        if len(signing) >= MOST_FORMER:
            first = min(one.until for one in signing)
            raise InvalidSettingError(
                f"{MOST_FORMER} former secrets sign its deliveries already; rotate it after {first:%Y-%m-%d %H:%M} "
                "UTC, when the first of them ends, or say that it has leaked, which ends all of them now"
            )
        return replace(self.new(), former=(Former(self.secret, now + keep), *signing))

    def at(self, now: datetime) -> list[Secret]:
        """What signs at a time, the present secret first."""
        return [self.secret, *(one.secret for one in self.former if now < one.until)]
