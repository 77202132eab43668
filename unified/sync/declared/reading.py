"""From the text of a file to what it declares, with the line of each thing."""

from dataclasses import dataclass

from pydantic import ValidationError

from unified.kit.document.source import Place, Source, read_source
from unified.sync.declared.document import Document


@dataclass(frozen=True, slots=True)
class Declared:
    """What a file says, and where.

    Attributes:
        document: What it says.
        source: The file.
    """

    document: Document
    source: Source

    def line(self, place: Place) -> int:
        """The line on which something stands, or what it is in."""
        return self.source.line(place)


def read_document(text: bytes, name: str) -> Declared:
    """Read a file.

    Args:
        text: What it holds.
        name: The file's, for messages.

    Raises:
        DocumentError: If it is not YAML, or does not say what it should; each fault with its line, none with a value.
    """
    source = read_source(text, name)
    try:
        return Declared(Document.model_validate(source.value), source)
    except ValidationError as error:
        raise source.explain(error, Document) from None
