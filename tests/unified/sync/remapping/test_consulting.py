"""A model proposes beside the matcher, within what its workspace allows, and its failure leaves the matcher's."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.model_server import USAGE, ModelServer, Reply, model_server
from tests.unified.sync.source import Source
from unified.kit.asking.settings import ModelSettings
from unified.kit.mapping.rules import Rule
from unified.kit.secrets import Secret
from unified.store import audit
from unified.store.asking import usage
from unified.store.connections import field_rules
from unified.store.workspaces import workspaces
from unified.sync.remapping.asking import Asker
from unified.sync.remapping.proposals import decide, propose_rules

KEY = "sk-ant-fake-planted-Hu8"
SECRETS = ("sk_live_PlantedRecord99", "planted.person@example.com", "Planted Gold", KEY)


@pytest.fixture(scope="module")
def shared() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture
def asker(shared: ModelServer) -> Asker:
    shared.answers(Reply(answer(("metadata.tier_x", "tags"), ("metadata.vat_number", "tax_number"))))
    return Asker(ModelSettings(key=Secret(KEY), url=shared.url, seconds=60), "ann")


def answer(*pairs: tuple[str, str]) -> str:
    said = [
        {"source": source, "target": target, "unit": "", "words": [], "sure": 0.9, "reason": "It fits."}
        for source, target in pairs
    ]
    return json.dumps({"pairs": said})


async def loaded(stripe: Source) -> tuple[Any, ...]:
    metadata = {"vat_number": "CHE-1", "tier_x": "Planted Gold", "token": SECRETS[0], SECRETS[1]: "x"}
    for customer_id in list(stripe.expected()):
        stripe.change("update_customer", customer_id, metadata=metadata, description=None)
    await stripe.sync()
    return (stripe.db, stripe.connection, "customers")


async def audited(stripe: Source) -> list[audit.AuditEntry]:
    async with stripe.db.workspace(stripe.connection.workspace_id) as conn:
        found = await audit.entries(conn, limit=50)
    return [one for one in reversed(found) if one.action.startswith("model.")]


async def used(stripe: Source) -> int:
    async with stripe.db.workspace(stripe.connection.workspace_id) as conn:
        return await usage.of_today(conn)


async def test_a_model_proposes_and_a_person_decides(
    stripe: Source, shared: ModelServer, asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    place = await loaded(stripe)
    with caplog.at_level(logging.DEBUG):
        found = await propose_rules(*place, asker=asker)
    tags = found.of("tags")
    assert tags.rule == Rule(target="tags", source="metadata.tier_x", steps=["split"])
    assert tags.proposal.reason == "the model says: It fits"
    assert tags.proposal.confidence.model == 0.9
    assert tags.trial.filled == found.records
    assert found.of("tax_number").proposal.reason.endswith("names say so too")
    assert (found.consulted.outcome, found.consulted.tokens) == ("answered", sum(USAGE))
    assert await field_rules.read(*place) == [], "nothing is in force before a person says so"
    assert await used(stripe) == sum(USAGE)

    asked, answered = await audited(stripe)
    assert (asked.action, asked.actor, asked.detail["sees"]) == ("model.ask", "ann", "shapes")
    assert asked.detail["bytes"] == len(shared.requests[0][2]["messages"][0]["content"][0]["text"].encode())
    assert (answered.action, answered.detail["tokens"]) == ("model.answer", sum(USAGE))
    sent = json.dumps([body for _, _, body in shared.requests])
    left_behind = f"{caplog.text} {asked.detail} {answered.detail} {found.consulted}"
    for secret in SECRETS:
        assert secret not in sent
        assert secret not in left_behind

    # Neither a further look nor a decision asks again: what a person decides about is what was proposed.
    again = await propose_rules(*place, asker=asker)
    assert (
        again.consulted.outcome == (await propose_rules(*place)).consulted.outcome == "by an earlier answer"
    )
    await decide(*place, accept=[tags.rule], decline=["tax_number"], actor="bob")
    assert await field_rules.read(*place) == [tags.rule]
    assert len(shared.requests) == 1
    async with stripe.db.workspace(stripe.connection.workspace_id) as conn:
        rows = await conn.execute("SELECT confidence_score, decided_by FROM schema_mappings ORDER BY 1")
        assert [one[1] for one in await rows.fetchall() if one[0] is not None] == ["bob", "bob"]


async def test_each_failure_leaves_what_the_matcher_proposes(
    stripe: Source, shared: ModelServer, asker: Asker
) -> None:
    place = await loaded(stripe)
    alone = [(one.rule, one.proposal) for one in (await propose_rules(*place)).rules]
    spent = 0
    for reply, outcome in (
        (Reply("hello"), "unreadable"),
        (Reply('{"pairs": [{"source": ', stop="max_tokens"), "cut off"),
        (Reply("", stop="refusal"), "refused"),
        (Reply(status=429, retry_after="3600"), "busy"),
        (Reply(status=529, retry_after="3600"), "busy"),
    ):
        shared.answers(reply)
        found = await propose_rules(*place, asker=asker)
        assert found.consulted.outcome == outcome
        assert "The matcher proposes alone" in found.consulted.said
        assert [(one.rule, one.proposal) for one in found.rules] == alone
        before, spent = spent, await used(stripe)
        assert (spent > before) == (outcome != "busy"), "what may be charged is counted, and nothing else"
    assert [one.outcome for one in await audited(stripe) if one.action == "model.answer"] == ["failed"] * 5

    shared.answers(Reply(answer(("metadata.invented", "tags"), ("metadata.token", "name"))))
    found = await propose_rules(*place, asker=asker)
    assert found.consulted.dropped == [
        "metadata.invented → tags: their records have no such field",
        "metadata.token → name: it is named like a secret",
    ]
    assert [one.rule for one in found.rules] == [rule for rule, _ in alone]
    assert SECRETS[0] not in shared.sent()


async def test_a_rule_of_the_model_alone_that_fails_on_each_record_is_dropped(
    stripe: Source, shared: ModelServer, asker: Asker
) -> None:
    place = await loaded(stripe)
    shared.answers(
        Reply(answer(("metadata.tier_x", "currency"), ("metadata.tier_x", "shipping_address.country")))
    )
    found = await propose_rules(*place, asker=asker)
    assert all(one.rule.source != "metadata.tier_x" or one.trial.filled for one in found.rules)


async def test_the_workspace_says_what_a_model_may_see_and_how_much(
    stripe: Source, shared: ModelServer, asker: Asker
) -> None:
    place = await loaded(stripe)
    workspace = stripe.connection.workspace_id

    poor = Asker(ModelSettings(key=Secret(KEY), url=shared.url, tokens=1_000), "ann")
    refused = await propose_rules(*place, asker=poor)
    assert refused.consulted.outcome == "over budget"
    assert "1,000 of the 1,000" in refused.consulted.said
    assert [(one.action, one.outcome) for one in await audited(stripe)] == [("model.ask", "denied")]
    assert await used(stripe) == 0

    await workspaces.update(stripe.db, workspace, model_sees="nothing", actor="ann")
    assert (await propose_rules(*place, asker=asker)).consulted.outcome == "not allowed"
    assert shared.requests == []

    await workspaces.update(stripe.db, workspace, model_sees="values", actor="ann")
    found = await propose_rules(*place, asker=asker)
    assert found.consulted.outcome == "answered"
    assert "Planted Gold" in shared.sent()
    assert SECRETS[0] not in shared.sent()
    assert SECRETS[1] not in shared.sent(), (
        "the key of an object that looks like a value is left out all the same"
    )
    kept = await propose_rules(*place)
    assert kept.of("tags").proposal.reason == "the model names it", "a reason may repeat a value"
