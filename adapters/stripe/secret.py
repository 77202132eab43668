"""What Stripe tells of a payment that has no place in a table: the secret by which a browser pays.

https://docs.stripe.com/api/payment_intents/object and https://docs.stripe.com/api/setup_intents/object. Events carry
the whole object, and so the secret too.
"""

import msgspec

_NAME = "client_secret"
# Where an object of a stream stands in its record.
_AT = {"payment_intents": (), "events": ("data", "object")}
_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def without_secret(stream: str, body: bytes) -> bytes:
    """The JSON text of a record of a stream without the secret, all else as it was sent."""
    keys = _AT.get(stream)
    if keys is None or _NAME.encode() not in body:
        return body
    try:
        return _cut(body, keys)
    except msgspec.MsgspecError:
        return body  # of another form: the secret's name is in some text


def _cut(body: bytes, keys: tuple[str, ...]) -> bytes:
    parts = _PARTS.decode(body)
    name = keys[0] if keys else _NAME
    within = parts.pop(name, None)
    if within is None:
        return body
    if keys:
        parts[name] = msgspec.Raw(_cut(bytes(within), keys[1:]))
    return msgspec.json.encode(parts)
