"""Whose an event is: which connections an event of an account and a mode is for."""

from uuid import UUID

import pytest

from unified.kit.webhooks.owners import Owner, Reader, belongs_to

HERE, THERE, ELSEWHERE = UUID(int=1), UUID(int=2), UUID(int=3)
LIVE, TEST = True, False


@pytest.mark.parametrize(
    ("owner", "readers", "expected"),
    [
        (Owner("a"), [Reader(HERE, "a", None)], [HERE]),
        (Owner("b"), [Reader(HERE, "a", None)], []),
        (Owner("b"), [Reader(HERE, "a", None), Reader(THERE, "b", None)], [THERE]),
        (
            Owner("b"),
            [Reader(HERE, "a", None), Reader(THERE, "b", None), Reader(ELSEWHERE, "b", None)],
            [THERE, ELSEWHERE],
        ),
        # Nothing named: the endpoint's own account, in either mode.
        (Owner(), [Reader(HERE, "a", TEST)], [HERE]),
        (Owner(None, TEST), [Reader(HERE, "a", TEST)], [HERE]),
        (Owner(None, LIVE), [Reader(HERE, "a", TEST)], []),
        (Owner(None, LIVE), [Reader(HERE, "a", TEST), Reader(THERE, "a", LIVE)], [THERE]),
        (Owner(None, LIVE), [Reader(HERE, "a", TEST), Reader(THERE, "b", LIVE)], []),
        (Owner("a", LIVE), [Reader(HERE, "a", TEST)], []),
        (Owner("a", LIVE), [Reader(HERE, "a", None)], [HERE]),
        # Not known yet whose this connection is: it is kept here, unless another one is sure.
        (Owner("a"), [Reader(HERE, None, None)], [HERE]),
        (Owner("a"), [Reader(HERE, None, None), Reader(THERE, "a", None)], [THERE]),
        (Owner(), [Reader(HERE, None, None), Reader(THERE, "a", None)], [HERE]),
        (Owner("b"), [Reader(HERE, "a", None), Reader(THERE, None, None)], []),
        (Owner("a"), [], [HERE]),
    ],
)
def test_an_event_is_for_whom_it_belongs_to(
    owner: Owner, readers: list[Reader], expected: list[UUID]
) -> None:
    assert list(belongs_to(owner, HERE, readers)) == expected
