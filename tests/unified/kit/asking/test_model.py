"""A model is asked once, within limits, and whatever a provider does has an outcome of its own."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from tests.model_server import USAGE, ModelServer, Reply, model_server
from unified.kit.asking import model
from unified.kit.asking.outcomes import BusyError, ModelError
from unified.kit.asking.settings import ModelSettings
from unified.kit.errors import ConfigurationError
from unified.kit.secrets import Secret

KEY = "sk-ant-fake-planted-Zt5"
QUESTION = "planted-question-7"


class Form(BaseModel):
    a: int


@pytest.fixture(scope="module")
def shared() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture(params=["anthropic:claude-sonnet-5-5", "openai-chat:llama3.3"])
def settings(request: pytest.FixtureRequest, shared: ModelServer) -> ModelSettings:
    url = shared.url if request.param.startswith("anthropic") else f"{shared.url}/v1"
    return ModelSettings(request.param, Secret(KEY), url, seconds=30)


async def asked(settings: ModelSettings) -> ModelError:
    with pytest.raises(ModelError) as refused:
        await model.ask(settings, "Add.", QUESTION, Form)
    said = str(refused.value)
    assert "\n" not in said
    assert KEY not in said
    assert QUESTION not in said
    assert "hello" not in said
    return refused.value


async def test_an_answer_has_the_form_that_was_asked_for(
    shared: ModelServer, settings: ModelSettings
) -> None:
    # Here and below, not at the head: these clients take seconds to import, and each process collects all files.
    from anthropic.types.message_create_params import MessageCreateParamsNonStreaming  # noqa: PLC0415

    shared.answers(Reply('{"a": 1}'))
    answered = await model.ask(settings, "Add.", QUESTION, Form)
    assert answered.answer == Form(a=1)
    assert answered.tokens == sum(USAGE)
    ((path, headers, body),) = shared.requests
    assert headers.get("Authorization", headers.get("authorization")) == f"Bearer {KEY}"
    assert "temperature" not in body
    assert "tools" not in body
    if path == "/v1/messages":
        TypeAdapter(MessageCreateParamsNonStreaming).validate_python(body)
        assert body["output_config"]["format"]["type"] == "json_schema"
        assert "Add." not in str(body["messages"]), "what it is to do stands apart from what strangers wrote"
    else:
        assert path == "/v1/chat/completions"
        assert body["response_format"]["type"] == "json_schema"


@pytest.mark.parametrize(
    ("reply", "outcome", "costs"),
    [
        (Reply("hello"), "unreadable", True),
        (Reply('{"b": 2}'), "unreadable", True),
        (Reply('{"a": ', stop="max_tokens"), "cut off", True),
        (Reply("", stop="refusal"), "refused", True),
        (Reply(status=400), "refused", False),
        (Reply(status=401), "refused", False),
        (Reply(status=404), "refused", False),
        (Reply(status=429, retry_after="600"), "busy", False),
        (Reply(status=529, retry_after="600"), "busy", False),
    ],
    ids=lambda one: f"{one.status}-{one.stop}-{one.text}" if isinstance(one, Reply) else None,
)
async def test_whatever_a_provider_does_has_an_outcome(
    shared: ModelServer, settings: ModelSettings, reply: Reply, outcome: str, costs: bool
) -> None:
    shared.answers(reply)
    error = await asked(settings)
    assert (error.outcome, error.may_have_cost) == (outcome, costs)
    assert len(shared.requests) == 1, "a pause of ten minutes is not waited for"
    if isinstance(error, BusyError):
        assert "asks to wait 600 s" in str(error)


async def test_a_busy_provider_is_asked_again_and_not_for_ever(
    shared: ModelServer, settings: ModelSettings
) -> None:
    busy = Reply(status=529, retry_after="0")
    shared.answers(busy, Reply(status=429, retry_after="0"), Reply('{"a": 1}'))
    assert (await model.ask(settings, "Add.", QUESTION, Form)).answer.a == 1
    assert len(shared.requests) == 3
    shared.answers(busy)
    assert (await asked(settings)).outcome == "busy"
    assert len(shared.requests) == model.MOST_ATTEMPTS


async def test_a_slow_provider_and_one_that_is_not_there_cost_a_bounded_time(shared: ModelServer) -> None:
    shared.answers(Reply('{"a": 1}', seconds=3))
    slow = await asked(ModelSettings(key=Secret(KEY), url=shared.url, seconds=1))
    assert (slow.outcome, slow.may_have_cost) == ("too slow", True)
    down = await asked(ModelSettings(key=Secret(KEY), url="http://127.0.0.1:9", seconds=30))
    assert (down.outcome, down.may_have_cost) == ("down", False)


async def test_what_is_not_set_up_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "set ANTHROPIC_API_KEY or UNIFIED_MODEL_KEY" in str(await asked(ModelSettings()))
    assert "can't be asked" in str(await asked(ModelSettings("nobody:x", Secret(KEY))))
    monkeypatch.setattr(model, "find_spec", lambda _: None)
    assert "unified-assets[model]" in str(await asked(ModelSettings(key=Secret(KEY))))


def test_one_variable_names_the_model() -> None:
    local = {"UNIFIED_MODEL": "openai-chat:llama3.3", "UNIFIED_MODEL_URL": "http://127.0.0.1:11434/v1"}
    found = ModelSettings.from_environment(local)
    assert (found.provider, found.key, found.is_set_up) == ("openai-chat", None, True)
    usual = ModelSettings.from_environment({"ANTHROPIC_API_KEY": KEY})
    assert (usual.name, usual.key) == ("anthropic:claude-sonnet-5-5", Secret(KEY))
    assert KEY not in repr(usual)
    for wrong in (
        {"UNIFIED_MODEL": "claude"},
        {"UNIFIED_MODEL_URL": "ftp://x"},
        {"UNIFIED_MODEL_TOKENS": "0"},
        {"UNIFIED_MODEL_URL": f"https://user:{KEY}@x"},
    ):
        with pytest.raises(ConfigurationError) as refused:
            ModelSettings.from_environment(wrong)
        assert KEY not in str(refused.value)


async def test_the_official_clients_read_the_stand_in(shared: ModelServer) -> None:
    from anthropic import AsyncAnthropic  # noqa: PLC0415
    from anthropic.types import Message  # noqa: PLC0415
    from openai import AsyncOpenAI  # noqa: PLC0415
    from openai.types.chat import ChatCompletion  # noqa: PLC0415

    shared.answers(Reply('{"a": 1} and more'))
    question: dict[str, Any] = {
        "model": "claude-sonnet-5-5",
        "max_tokens": 10,
        "messages": [{"role": "user", "content": QUESTION}],
    }
    async with AsyncAnthropic(api_key=KEY, base_url=shared.url) as client:
        whole = await client.messages.create(**question)
        async with client.messages.stream(**question) as stream:
            streamed = await stream.get_final_message()
    for message in (whole, streamed):
        TypeAdapter(Message).validate_python(message.model_dump(), strict=True)
        (block,) = message.content
        assert block.type == "text"
        assert block.text == '{"a": 1} and more'
        assert message.usage.output_tokens == USAGE[1]
    async with AsyncOpenAI(api_key=KEY, base_url=f"{shared.url}/v1") as other:
        completion = await other.chat.completions.create(**question)
    TypeAdapter(ChatCompletion).validate_python(completion.model_dump(), strict=True)
