"""The keys that an object of a file may have, by the types that the file is read as: what a misspelt one may mean."""

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from unified.kit.errors import did_you_mean


def no_such_key(kind: Any, place: Sequence[str | int]) -> str:
    """What is wrong with a key that nothing knows, and which was meant or which there are.

    Args:
        kind: The type that the whole file is read as.
        place: Keys and indexes that lead to it, as pydantic names them: the word of a union's member among them.
    """
    *above, key = place
    known = sorted(_keys_at(kind, above))
    return "there is no such key" + (did_you_mean(str(key), known) or f"; there are {', '.join(known)}")


def _keys_at(kind: Any, place: Sequence[str | int]) -> set[str]:
    kinds = list(_members(kind))
    for part in place:
        # Of a union, pydantic names the member, by its word or its class; else a part leads further down.
        chosen = [one for one in kinds if _is_named(one, part)] if len(kinds) > 1 else []
        kinds = chosen or [below for one in kinds for below in _below(one, part)] or kinds
    return {
        field.alias or name
        for one in kinds
        if isinstance(one, type) and issubclass(one, BaseModel)
        for name, field in one.model_fields.items()
    }


def _members(kind: Any) -> Iterator[Any]:
    if get_origin(kind) is Annotated:
        yield from _members(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        for one in get_args(kind):
            yield from _members(one)
    else:
        yield kind


def _is_named(kind: Any, part: str | int) -> bool:
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return False
    words = (
        get_args(one.annotation)
        for one in kind.model_fields.values()
        if get_origin(one.annotation) is Literal
    )
    return part == kind.__name__ or any(part in one for one in words)


def _below(kind: Any, part: str | int) -> Iterator[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            if part in (name, field.alias):
                yield from _members(field.annotation)
    elif get_origin(kind) in (dict, Mapping):
        yield from _members(get_args(kind)[1])
    elif get_origin(kind) in (list, tuple, Sequence) and isinstance(part, int):
        yield from _members(get_args(kind)[0])
