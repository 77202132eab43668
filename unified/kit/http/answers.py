"""An answer as the client hands it over: status, headers and whole body. Not here: how it is read from the network.

Also how JSON is decoded that breaks a rule without being unreadable.
"""

import re
from dataclasses import dataclass
from typing import TypeVar

import httpx
import msgspec

_Decoded = TypeVar("_Decoded")

# An escape in JSON text: a whole surrogate pair, half of one (the group), or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider answered.

    Attributes:
        status: The HTTP status.
        headers: Its headers; names are found in any case.
        body: All of it, decompressed.
    """

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def text(self) -> str:
        """The body as text, by the character set that the content type names, or else UTF-8."""
        return httpx.Response(self.status, headers=self.headers, content=self.body).text

    @property
    def kind(self) -> str:
        """The content type without its parameters; empty where there is none."""
        return str(self.headers.get("content-type", "")).split(";")[0].strip().lower()

    @property
    def reason(self) -> str:
        """The status in words: ``Bad Gateway``."""
        return httpx.codes.get_reason_phrase(self.status)

    @property
    def is_success(self) -> bool:
        """Whether the status is one of success."""
        return httpx.codes.is_success(self.status)

    def decoded(self, decoder: msgspec.json.Decoder[_Decoded]) -> _Decoded:
        """Decode a JSON body. An answer without content is ``null``.

        Half a surrogate pair, left by a system that cuts text in UTF-16, becomes U+FFFD. Otherwise one such name would
        make its whole page unreadable, on every run.

        Raises:
            msgspec.MsgspecError, UnicodeDecodeError: If the body is not the JSON that the decoder takes.
        """
        body = b"null" if self.status == httpx.codes.NO_CONTENT else self.body
        try:
            return decoder.decode(body)
        except msgspec.DecodeError:
            return decoder.decode(_ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], body))
