"""One change to one receiver: the body, its signature, and what the answer says.

Signed by Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
``webhook-id`` is the same whenever the same state of a record is sent again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal, Self
from uuid import uuid4

import msgspec

from unified.kit.errors import AdapterError
from unified.kit.http.posting import Poster
from unified.kit.http.refusals import seconds_in
from unified.kit.webhooks.standard import StandardVerifier
from unified.store.connections.registry import presentable
from unified.store.lists.pages import Row
from unified.store.subscriptions.rows import Subscription
from unified.store.subscriptions.signing import Signing
from unified.store.subscriptions.subscriptions import Subscriptions

# What most receivers bear, and 1,000 deliveries a second at 32 ms each.
PARALLEL = 32
_TIMEOUT = 15.0
# What a receiver says is for a person, not for us.
_MOST_BYTES = 16 * 2**10

# It is about this record; others may be taken. All else is about the receiver.
_ABOUT_THE_RECORD = frozenset((400, 409, 413, 422))
_GONE = 410

Verdict = Literal["taken", "refused", "down", "gone"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one delivery.

    Attributes:
        verdict: ``refused`` is about the record, ``down`` about the receiver; ``gone`` ends the subscription.
        error: Why it was not taken.
        wait: Seconds until the receiver wants to be asked again, where it says so.
    """

    verdict: Verdict
    error: str = ""
    wait: float | None = None


class Receiver:
    """A subscription's URL; use it in ``async with``."""

    def __init__(self, subscription: Subscription, signing: Signing) -> None:
        """Nothing is sent yet.

        Raises:
            ConfigurationError: If the URL is not usable any more.
        """
        self._of = subscription
        self._signer = StandardVerifier()
        self._signing = signing
        self._poster = Poster(
            subscription.url,
            label=f"subscription {subscription.name}",
            allow_private=subscription.allow_private,
            timeout=_TIMEOUT,
            most_bytes=_MOST_BYTES,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._poster.aclose()

    def serves(self, subscription: Subscription) -> bool:
        """Whether a subscription, which may have been changed since, leads there yet and is signed the same way."""
        return all(
            getattr(subscription, name) == getattr(self._of, name)
            for name in ("url", "allow_private", "seal")
        )

    async def send(self, row: Row) -> Outcome:
        """Deliver the state of a record."""
        name = f"msg_{sha256(f'{self._of.id}:{row.place.id}:{row.place.xid}'.encode()).hexdigest()[:32]}"
        return await self._post(name, body_of(self._of.followed.name, row.fields))

    async def send_test(self) -> Outcome:
        """Send a message of type ``subscription.test``, which is about no record."""
        data = {"subscription": self._of.name, "list": self._of.list}
        message = {"type": "subscription.test", "timestamp": datetime.now(UTC), "data": data}
        return await self._post(f"msg_{uuid4().hex}", msgspec.json.encode(message))

    async def _post(self, name: str, body: bytes) -> Outcome:
        now = datetime.now(UTC)
        sent_at = str(int(now.timestamp()))
        signed = b"%b.%b.%b" % (name.encode(), sent_at.encode(), body)
        signature = b" ".join(
            self._signer.sign(self._signer.key(one.reveal()), signed) for one in self._signing.at(now)
        )
        headers = {
            "webhook-id": name,
            "webhook-timestamp": sent_at,
            "webhook-signature": signature.decode(),
        }
        try:
            answer = await self._poster.post(body, headers)
        except AdapterError as error:
            return Outcome("down", presentable(str(error)))
        if answer.is_success:
            return Outcome("taken")
        said = f"the receiver answered {answer.status} {answer.reason}"
        if answer.status == _GONE:
            return Outcome("gone", f"{said}: it wants no more")
        if answer.status in _ABOUT_THE_RECORD:
            return Outcome("refused", said)
        hint = "; redirects are not followed" if answer.status < 400 else ""  # noqa: PLR2004
        return Outcome("down", f"{said}{hint}", seconds_in(answer.headers.get("retry-after", "")))


async def send_test(own: Subscriptions, subscription: Subscription) -> Outcome:
    """Send a receiver one signed test message, also where its subscription is paused or waits, which stays so.

    Raises:
        ConfigurationError: If the URL is not usable any more.
        CredentialTamperedError, MasterKeyError: If the secret can't be decrypted.
        SubscriptionNotFoundError: If it was removed.
    """
    signing = await own.signing(subscription)
    await own.note_test(subscription)
    async with Receiver(subscription, signing) as receiver:
        return await receiver.send_test()


def body_of(which: str, fields: Mapping[str, Any]) -> bytes:
    """The JSON text that is delivered: ``type``, ``timestamp`` and the record as the records API shows it."""
    singular = "identity" if which == "identities" else which.removesuffix("s")
    kind = "deleted" if fields.get("deleted_at") else "changed"
    stamp = fields.get("synced_at") or fields.get("updated_at") or fields.get("deleted_at")
    return msgspec.json.encode({"type": f"{singular}.{kind}", "timestamp": stamp, "data": fields})
