"""A file with a list of rules."""

from pydantic import ValidationError

from unified.kit.document.source import read_source
from unified.kit.mapping.rules import RULES, Rule


def read_rules_file(text: bytes, name: str) -> tuple[Rule, ...]:
    """The rules of a YAML or JSON file, which is a list of them.

    Args:
        text: Its content, in UTF-8.
        name: The file's, for errors.

    Raises:
        DocumentError: If it can't be read, or one of them is not a rule; it names file, line and place.
    """
    source = read_source(text, name)
    try:
        return RULES.validate_python(source.value)
    except ValidationError as error:
        raise source.explain(error, tuple[Rule, ...]) from None
