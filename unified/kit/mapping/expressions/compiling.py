"""Jinja's parser reads an expression; this makes a function of it, node by node, of a white list of nodes.

https://jinja.palletsprojects.com/en/stable/templates/#expressions describes the syntax. Jinja's engine is not used: it
generates Python, and its sandbox has no limits of time and memory.
"""

from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from functools import lru_cache
from inspect import signature
from typing import Any

from jinja2 import Environment, TemplateError, nodes

from unified.kit.mapping.expressions import operators
from unified.kit.mapping.expressions.functions import FILTERS, METHODS, TESTS, Function
from unified.kit.mapping.expressions.limits import MOST_NODES, result_of
from unified.kit.mapping.expressions.times import DATES, Clocked
from unified.kit.mapping.refusals import UNREADABLE, Refused, RuleError
from unified.kit.mapping.steps import LONGEST_EXPRESSION

Scope = Mapping[str, Any]
Evaluate = Callable[[Scope], Any]

_PARSER = Environment(autoescape=False)  # noqa: S701 - nothing is rendered

_ARITHMETIC: dict[type[nodes.BinExpr], Callable[[Any, Any], Any]] = {
    nodes.Add: operators.add,
    nodes.Sub: operators.subtract,
    nodes.Mul: operators.multiply,
    nodes.Div: operators.divide,
    nodes.FloorDiv: operators.floor_divide,
    nodes.Mod: operators.remainder,
}


def compile_template(
    source: str, names: Collection[str], functions: Mapping[str, Function | Clocked] | None = None
) -> Evaluate:
    """What makes a value of a text with ``{{ }}`` expressions.

    Args:
        source: At most 4 KB, with at most 200 nodes.
        names: Names that expressions may use.
        functions: Functions that they may call by name besides those of dates, such as a document's clock.

    Returns:
        A function of a scope, which has the names' values, JSON all of them. It gives the value of an expression that
        stands alone, else text, and raises :class:`Refused` alone.

    Raises:
        RuleError: If it is not such a text, or uses what expressions don't have.
    """
    return _compiled(source, frozenset(names), tuple(sorted((functions or {}).items())))


@lru_cache(maxsize=1024)
def _compiled(
    source: str, names: frozenset[str], functions: tuple[tuple[str, Function | Clocked], ...]
) -> Evaluate:
    if len(source) > LONGEST_EXPRESSION:
        raise RuleError(f"the expression is longer than {LONGEST_EXPRESSION} characters")
    try:
        tree = _PARSER.parse(source)
        if sum(1 for _ in tree.find_all(nodes.Node)) > MOST_NODES:
            raise RuleError(f"the expression has more than {MOST_NODES} parts")
        evaluate = _Compiler(names, {**DATES, **dict(functions)}).template(tree)
    except TemplateError as error:
        raise RuleError(f"the expression can't be read: {error.message}") from None
    except RecursionError:
        raise RuleError("the expression is nested too deeply") from None
    except (ValueError, OverflowError):
        raise RuleError("the expression has a number that can't be read") from None

    def limited(scope: Scope) -> Any:
        try:
            return result_of(evaluate(scope))
        except Refused:
            raise
        except UNREADABLE as error:
            raise Refused(f"the expression does not fit the value ({type(error).__name__})") from None

    return limited


class _Compiler:
    """Makes functions of nodes."""

    def __init__(self, names: Collection[str], functions: Mapping[str, Function | Clocked]) -> None:
        self._names = names
        self._functions = functions

    def template(self, tree: nodes.Template) -> Evaluate:
        parts: list[Evaluate] = []
        for node in tree.body:
            if not isinstance(node, nodes.Output):
                raise RuleError(
                    f"an expression has no statements such as {type(node).__name__.lower()}; use {{{{ }}}} only"
                )
            parts += map(self._node, node.nodes)
        if not parts:
            return lambda _: ""
        if len(parts) == 1:
            return parts[0]
        return lambda scope: operators.concatenate([part(scope) for part in parts])

    def _node(self, node: nodes.Node) -> Evaluate:  # noqa: C901, PLR0912 - the white list, one line a form
        match node:
            case nodes.TemplateData() | nodes.Const():
                return self._constant(node.data if isinstance(node, nodes.TemplateData) else node.value)
            case nodes.Name():
                return self._name(node.name)
            case nodes.Getattr():
                return self._member(node.node, nodes.Const(node.attr))
            case nodes.Getitem(arg=nodes.Slice()):
                return self._slice(node)
            case nodes.Getitem():
                return self._member(node.node, node.arg)
            case nodes.Filter():
                return self._filter(node)
            case nodes.Call():
                return self._call(node)
            case nodes.Test():
                return self._test(node)
            case nodes.Compare():
                return self._compare(node)
            case nodes.CondExpr():
                test, yes = self._node(node.test), self._node(node.expr1)
                no = self._constant(None) if node.expr2 is None else self._node(node.expr2)
                return lambda scope: yes(scope) if test(scope) else no(scope)
            case nodes.And():
                left, right = self._node(node.left), self._node(node.right)
                return lambda scope: left(scope) and right(scope)
            case nodes.Or():
                left, right = self._node(node.left), self._node(node.right)
                return lambda scope: left(scope) or right(scope)
            case nodes.Not():
                inner = self._node(node.node)
                return lambda scope: not inner(scope)
            case nodes.Neg():
                inner = self._node(node.node)
                return lambda scope: operators.negative(inner(scope))
            case nodes.Pos():
                inner = self._node(node.node)
                return lambda scope: operators.number(inner(scope))
            case nodes.Concat():
                parts = [self._node(one) for one in node.nodes]
                return lambda scope: operators.concatenate([part(scope) for part in parts])
            case nodes.List() | nodes.Tuple():
                items = [self._node(one) for one in node.items]
                return lambda scope: [item(scope) for item in items]
            case nodes.Dict():
                return self._dict(node)
            case nodes.BinExpr() if type(node) in _ARITHMETIC:
                operate = _ARITHMETIC[type(node)]
                left, right = self._node(node.left), self._node(node.right)
                return lambda scope: operate(left(scope), right(scope))
        raise RuleError(f"expressions have no {type(node).__name__.lower()}")

    def _constant(self, value: Any) -> Evaluate:
        if isinstance(value, float):
            value = Decimal(repr(value))
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            try:
                value = operators.number(value)
            except Refused as error:
                raise RuleError(str(error)) from None
        if value is not None and not isinstance(value, str | bool | int | Decimal):
            raise RuleError(f"expressions have no {type(value).__name__}")
        return lambda _: value

    def _name(self, name: str) -> Evaluate:
        if name not in self._names:
            raise RuleError(
                f"there is no {name!r} here; an expression may use {', '.join(sorted(self._names))}"
            )
        return lambda scope: scope.get(name)

    def _member(self, node: nodes.Expr, key: nodes.Expr) -> Evaluate:
        of = self._node(node)
        if isinstance(key, nodes.Const):
            known = key.value
            if isinstance(known, str):

                def member(scope: Scope) -> Any:
                    found = of(scope)
                    return found.get(known) if isinstance(found, dict) else None

                return member
            return lambda scope: operators.member(of(scope), known)
        at = self._node(key)
        return lambda scope: operators.member(of(scope), at(scope))

    def _slice(self, node: nodes.Getitem) -> Evaluate:
        arg = node.arg
        assert isinstance(arg, nodes.Slice)  # noqa: S101 - its only caller
        of = self._node(node.node)
        bounds = [
            self._constant(None) if one is None else self._node(one)
            for one in (arg.start, arg.stop, arg.step)
        ]
        return lambda scope: operators.part(of(scope), *(bound(scope) for bound in bounds))

    def _filter(self, node: nodes.Filter) -> Evaluate:
        if node.node is None:
            raise RuleError(f"the filter {node.name!r} has nothing before it")
        return self._called("filter", node.name, FILTERS, node, [self._node(node.node)])

    def _call(self, node: nodes.Call) -> Evaluate:
        of = node.node
        if isinstance(of, nodes.Getattr):
            return self._called("method", of.attr, METHODS, node, [self._node(of.node)])
        if isinstance(of, nodes.Name):
            return self._called("function", of.name, self._functions, node, [])
        raise RuleError("only functions, filters and methods by their names can be called")

    def _called(
        self,
        what: str,
        name: str,
        known: Mapping[str, Function | Clocked],
        node: nodes.Filter | nodes.Call,
        first: list[Evaluate],
    ) -> Evaluate:
        function = known.get(name)
        if function is None:
            raise RuleError(f"there is no {what} {name!r}; there are {', '.join(sorted(known)) or 'none'}")
        if node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
            raise RuleError(f"{name!r} takes arguments in order, without names")
        if isinstance(function, Clocked):
            function, first = function.of_now, [lambda scope: scope["now"]]
        arguments = first + [self._node(one) for one in node.args]
        try:
            signature(function).bind(*arguments)
        except TypeError:
            raise RuleError(f"{name!r} does not take {len(node.args)} arguments") from None
        if len(arguments) == 1:
            only = arguments[0]
            return lambda scope: function(only(scope))
        return lambda scope: function(*(argument(scope) for argument in arguments))

    def _test(self, node: nodes.Test) -> Evaluate:
        test, of = TESTS.get(node.name), self._node(node.node)
        if (
            test is None
            or node.args
            or node.kwargs
            or node.dyn_args is not None
            or node.dyn_kwargs is not None
        ):
            raise RuleError(f"there is no test {node.name!r}; there are {', '.join(sorted(TESTS))}")
        return lambda scope: test(of(scope))

    def _compare(self, node: nodes.Compare) -> Evaluate:
        first = self._node(node.expr)
        rest = [(operators.COMPARISONS[one.op], self._node(one.expr)) for one in node.ops]
        if len(rest) == 1:
            ((compare, second),) = rest
            return lambda scope: compare(first(scope), second(scope))

        def chain(scope: Scope) -> bool:
            left = first(scope)
            for compare, evaluate in rest:
                right = evaluate(scope)
                if not compare(left, right):
                    return False
                left = right
            return True

        return chain

    def _dict(self, node: nodes.Dict) -> Evaluate:
        pairs = []
        for pair in node.items:
            if not isinstance(pair.key, nodes.Const) or not isinstance(pair.key.value, str):
                raise RuleError("the keys of an object in an expression are text")
            pairs.append((pair.key.value, self._node(pair.value)))
        return lambda scope: {key: value(scope) for key, value in pairs}
