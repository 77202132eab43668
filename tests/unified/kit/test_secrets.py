"""Texts of others do not show a secret that they repeat."""

import base64
import html
import re
import time
from urllib.parse import quote, quote_plus

import msgspec
import pytest

from tests.echo import echo_server
from unified.kit.declarations import AdapterConfig
from unified.kit.errors import ProviderError
from unified.kit.http.authentication import fixed_authentication
from unified.kit.http.client import HttpClient
from unified.kit.http.limits import RateLimit
from unified.kit.http.refusals import Refusals
from unified.kit.secrets import MASK, Secret, without, without_lookalikes

SECRET = "sk test/fake+canary=?&"


@pytest.mark.parametrize("before", ["", "a", "ab", "user:"])
@pytest.mark.parametrize(
    "encode",
    [
        str,
        lambda text: quote(text, safe=""),
        quote_plus,
        lambda text: text.encode().hex(),
        lambda text: text.encode().hex().upper(),
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
        lambda text: text.replace("/", "\\/").replace("=", "\\u003D").replace("&", "\\u0026"),
        lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
        lambda text: text.replace("=", "\\\\u003d"),
        lambda text: quote(quote(text, safe=""), safe=""),
        lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
        lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
        lambda text: "".join(f"&#{ord(character)};" for character in text),
        lambda text: html.escape(text),  # noqa: PLW0108 - as the others
        lambda text: text.encode().hex(":"),
        lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
        lambda text: base64.b64encode(text.encode()).decode().replace("/", "\\/"),
    ],
)
def test_no_form_of_a_secret_is_left(encode: object, before: str) -> None:
    assert callable(encode)
    text = without(f"so {encode(before + SECRET)} it is", [SECRET])
    assert MASK in text
    assert text.startswith("so ")
    assert text.endswith(" it is")
    assert len(text) < len(f"so {MASK} it is") + 6 * len(before) + 8, "at most what stands beside it is left"


@pytest.mark.parametrize("tail", ["", "!" * 3_000, ' and some words "more"'])
def test_a_long_secret_is_found_whole(tail: str) -> None:
    secret = SECRET * 30 + tail
    began = time.process_time()
    assert without(f"so {secret} it is", [secret]) == f"so {MASK} it is"
    assert without(f"so {quote(secret)} it is", [secret]) == f"so {MASK} it is"
    assert time.process_time() - began < 5


@pytest.mark.parametrize("length", range(6, 50))
def test_a_text_that_is_nothing_but_a_form_of_a_secret_is_masked(length: int) -> None:
    secret = (SECRET * 3)[:length]
    coded = base64.b64encode(secret.encode()).decode()
    for text in (secret, secret.encode().hex(), quote(secret, safe=""), coded, coded.rstrip("=")):
        assert MASK in without(text, [secret])


def test_the_longest_of_several_secrets_goes_first() -> None:
    assert without("abc-fake-key", ["abc", "abc-fake-key", "fake"]) == MASK


@pytest.mark.parametrize(
    "text",
    [
        "Bearer abc.def",
        "https://me:pw@example.com",
        "sk_live_****1234",
        "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.c2ln",
    ],
)
def test_what_looks_like_a_credential_is_masked_whose_ever_it_is(text: str) -> None:
    assert MASK in without_lookalikes(text)
    assert not {"abc", "pw", "1234", "c2ln"} & set(re.split(r"\W+", without_lookalikes(text)))


def test_what_holds_no_secret_stays() -> None:
    assert without("nothing here", [SECRET, ""]) == "nothing here"


async def test_an_answer_that_repeats_a_password_is_taken_without_it() -> None:
    credentials = {"user": Secret("ada"), "password": Secret("password-fake-canary")}
    auth = fixed_authentication("basic_auth", credentials, ["user", "password"], label="x")

    with echo_server() as url:
        config = AdapterConfig(base_url=url, allow_private_hosts=True, retry_count=0)
        client = HttpClient(
            config,
            label="x",
            limits={"default": RateLimit(100)},
            auth=auth,
            refusals=Refusals(reasons_at=("message",)),
        )
        with pytest.raises(ProviderError) as caught:
            await client.request("GET", "/", msgspec.json.Decoder())
        await client.aclose()
    assert MASK in str(caught.value)
    for shown in ("password-fake-canary", base64.b64encode(b"ada:password-fake-canary").decode()):
        assert shown not in str(caught.value)
