"""Texts of others do not show a secret that they repeat."""

import base64
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
from unified.kit.secrets import MASK, Secret, without

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
    ],
)
def test_no_form_of_a_secret_is_left(encode: object, before: str) -> None:
    assert callable(encode)
    text = without(f"so {encode(before + SECRET)} it is", [SECRET])
    assert MASK in text
    assert text.startswith("so ")
    assert text.endswith(" it is")
    assert len(text) < len(f"so {MASK} it is") + 3 * len(before) + 6, "at most what stands beside it is left"


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
