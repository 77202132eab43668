"""An answer as the client hands it over: status, headers and whole body. Not here: how it is read from the network."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TypeVar

import httpx
import msgspec

from unified.kit.broken_json import repairs

_Decoded = TypeVar("_Decoded")

_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider answered.

    Attributes:
        status: The HTTP status.
        headers: Its headers; names are found in any case.
        body: All of it, decompressed; its beginning where there is a file.
        file: All of it, where it is large and its request let it be: see :meth:`pieces`.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    file: IO[bytes] | None = None

    def pieces(self) -> Iterator[bytes]:
        """All of the body, a mebibyte at most each time."""
        if self.file is None:
            yield self.body
            return
        self.file.seek(0)
        while piece := self.file.read(_PIECE):
            yield piece

    def close(self) -> None:
        """Give back what it takes on disk."""
        if self.file is not None:
            self.file.close()

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
