"""What a provider says when it refuses, in characters that a database or a terminal does not take."""

import pytest

from tests.unified.sync.stories.conftest import Told
from tests.unified.sync.stories.exchange import Answer
from unified.sync.errors import PullError

SAID = (
    b'"bad \\u0000 word"',
    b'"bad \\ud83d word"',
    b'"bad \\u001b]0;x\\u0007\\u001b[31m word"',  # a terminal's title, and its colour
    b'"bad \\u2028\\u0085\\r\\n word"',
    b'"bad \\u202e word"',  # from right to left
    b'"bad \xfc word"',
    b'{"bad": ["word"]}',
)


@pytest.mark.parametrize("status", [400, 403, 500])
async def test_a_refusal_is_kept_in_one_line_of_text(told: Told, status: int) -> None:
    for said in SAID:
        body = b'{"error": {"message": %b, "code": %b}}' % (said, said)
        told.systems.meddle = lambda _, __, body=body: Answer(status, body)  # type: ignore[misc]
        with pytest.raises(PullError) as caught:
            await told.billing.sync()
        state = await told.billing.state()
        assert (state.sync_status, state.error_message) == ("error", str(caught.value))
        assert str(status) in str(caught.value)
        assert str(caught.value).isprintable()
