"""RFC 9535 queries over records as they are decoded here: without regular expressions, with exact numbers.

Not here: paths of keys and indexes, which need none of it (``paths``).
"""

import re
from decimal import Decimal

from jsonpath_rfc9535 import JSONPathEnvironment, JSONPathError, JSONPathNodeList, JSONPathQuery, Parser
from jsonpath_rfc9535.filter_expressions import ComparisonExpression, Expression, FilterContext
from jsonpath_rfc9535.tokens import TokenStream

from unified.kit.mapping.refusals import RuleError

FAILURES = (JSONPathError, RecursionError)
"""What following a query in a record may raise."""

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")


class _Double(Expression):
    """A side of a comparison: a number with its digits compares as RFC 9535's, a double."""

    def __init__(self, inner: Expression) -> None:
        super().__init__(inner.token)
        self._inner = inner

    def evaluate(self, context: FilterContext) -> object:
        found = self._inner.evaluate(context)
        if isinstance(found, JSONPathNodeList) and len(found) == 1:
            found = found[0].value
        return float(found) if isinstance(found, Decimal) else found


class _Parser(Parser):
    def parse_infix_expression(self, stream: TokenStream, left: Expression) -> Expression:
        parsed = super().parse_infix_expression(stream, left)
        if isinstance(parsed, ComparisonExpression):
            parsed.left, parsed.right = _Double(parsed.left), _Double(parsed.right)
        return parsed


class _Environment(JSONPathEnvironment):
    parser_class = _Parser

    def setup_function_extensions(self) -> None:
        """All but ``match`` and ``search``, whose regular expressions may take for ever."""
        super().setup_function_extensions()
        del self.function_extensions["match"], self.function_extensions["search"]


_ENVIRONMENT = _Environment()


def compile_query(path: str, query: str) -> JSONPathQuery:
    """A query, ready to be followed.

    Args:
        path: As it was written, for the error.
        query: As RFC 9535 writes it.

    Raises:
        RuleError: If it is not a query, or one whose work could grow faster than the record.
    """
    # A filter that looks at the whole record does so for each item, and nested ones for each of those again.
    if "$" in _QUOTED.sub("", query)[1:]:
        raise RuleError(f"path {path!r}: a filter may look at its item (@) only, not at the record ($)")
    if _QUOTED.sub("", query).count("..") > 1:
        raise RuleError(f"path {path!r} descends (..) twice, which may take very long; once is allowed")
    try:
        return _ENVIRONMENT.compile(query)
    except FAILURES as error:
        raise RuleError(f"{path!r} is not a path of RFC 9535: {str(error) or 'it is too deep'}") from None
