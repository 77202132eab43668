"""An answer as the client hands it over: status, headers and whole body. Not here: how it is read from the network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import httpx
import msgspec

from unified.kit.broken_json import repairs

_Decoded = TypeVar("_Decoded")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider answered.

    Attributes:
        status: The HTTP status.
        headers: Its headers; names are found in any case.
        body: All of it, decompressed.
    """

    status: int
    headers: Mapping[str, str]
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

        JSON that breaks a rule without being unreadable is mended (:mod:`unified.kit.broken_json`).

        Raises:
            msgspec.MsgspecError, UnicodeDecodeError: If the body is not the JSON that the decoder takes.
        """
        body = b"null" if self.status == httpx.codes.NO_CONTENT else self.body
        error: msgspec.DecodeError | None = None
        for mended in repairs(body):
            try:
                return decoder.decode(mended)
            except msgspec.ValidationError:
                raise
            except msgspec.DecodeError as refused:
                error = error or refused
        assert error is not None  # noqa: S101 - at least the body itself was tried
        raise error
