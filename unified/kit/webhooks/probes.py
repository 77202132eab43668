"""A test delivery, signed as the provider of an endpoint signs: its event is of a type of ours and about no record.

What such an event looks like at a provider, and in which headers its proof stands, is said by each verifier
(:meth:`Verifier.probe_headers`, :meth:`Verifier.probe_body`). Here both are put together and signed.
"""

from dataclasses import replace

from unified.kit.errors import ConfigurationError
from unified.kit.secrets import Secret
from unified.kit.webhooks.deliveries import Delivery
from unified.kit.webhooks.signatures import SIGNATURE, Probe, SharedSecretVerifier, Verifier


def probe_delivery(
    verifier: Verifier, url: str, secret: Secret | None, probe: Probe, body: bytes | None = None
) -> Delivery:
    """Make the delivery of an event that is nothing but a test.

    Args:
        verifier: The endpoint's.
        url: Where it is delivered; some providers sign that.
        secret: What it is signed with; None where nothing proves a delivery.
        probe: What is in it.
        body: What is sent in place of that, by somebody who tries a body of their own.

    Raises:
        ConfigurationError: If it can't be signed here: there is no secret yet, or the provider alone has the key.
    """
    headers = {name: value.encode() for name, value in verifier.probe_headers(probe).items()}
    delivery = Delivery("POST", url, headers, verifier.probe_body(probe) if body is None else body, probe.at)
    if not verifier.needs_secret:
        return delivery
    if not isinstance(verifier, SharedSecretVerifier):
        raise ConfigurationError(
            f"deliveries of {verifier.name} are signed with a key that the sender alone has: have it send a test"
        )
    if secret is None:
        raise ConfigurationError(
            "it has no secret yet, so nothing can be signed; `unified webhooks rotate` stores it"
        )
    signature = verifier.sign(verifier.key(secret.reveal()), verifier.claim(delivery).message)
    return replace(
        delivery,
        headers={name: value.replace(SIGNATURE.encode(), signature) for name, value in headers.items()},
        body=delivery.body.replace(SIGNATURE.encode(), signature) if body is None else body,
    )
