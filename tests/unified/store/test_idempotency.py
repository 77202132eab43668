"""Answers kept for repetition: once carried out, told again to the same caller only, and readable to nobody else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from cryptography.fernet import Fernet

from unified.store.idempotency import (
    Answers,
    Attempt,
    KeptAnswer,
    KeyReusedError,
    Place,
    UnderWayError,
)
from unified.store.secrets.keys import LocalKeyProvider

if TYPE_CHECKING:
    from uuid import UUID

    from unified.store.database import Database

PROVIDER = LocalKeyProvider([Fernet.generate_key().decode()])


def place(workspace: UUID, **other: str) -> Place:
    return replace(Place(workspace, "user:ann", "POST /api/tokens", "key-1"), **other)


async def begun(answers: Answers, where: Place, request: bytes = b"{}") -> Attempt:
    attempt = await answers.begin(where, request)
    assert isinstance(attempt, Attempt)
    return attempt


async def test_the_same_request_is_answered_alike_and_another_is_refused(
    database: Database, workspace: UUID
) -> None:
    answers = Answers(database, PROVIDER)
    attempt = await begun(answers, place(workspace))
    with pytest.raises(UnderWayError):
        await answers.begin(place(workspace), b"{}")
    await answers.keep(attempt, 201, b"the token uat_fake")
    assert await answers.begin(place(workspace), b"{}") == KeptAnswer(201, b"the token uat_fake")
    with pytest.raises(KeyReusedError):
        await answers.begin(place(workspace), b'{"other": 1}')
    for elsewhere in ({"caller": "user:bob"}, {"route": "POST /api/members"}, {"key": "key-2"}):
        await begun(answers, place(workspace, **elsewhere))


async def test_of_many_at_once_one_is_carried_out(database: Database, workspace: UUID) -> None:
    answers = Answers(database, PROVIDER)
    results = await asyncio.gather(
        *(answers.begin(place(workspace), b"{}") for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(one, Attempt) for one in results) == 1
    assert sum(isinstance(one, UnderWayError) for one in results) == 7


async def test_what_was_abandoned_or_left_behind_is_carried_out_anew(
    database: Database, database_url: str, workspace: UUID
) -> None:
    answers = Answers(database, PROVIDER)
    await answers.abandon(await begun(answers, place(workspace)))
    left_behind = await begun(answers, place(workspace))
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("UPDATE idempotency_keys SET created_at = now() - interval '2 minutes'")
    second = await begun(answers, place(workspace))
    # A process that was wrongly taken for dead changes nothing any more.
    await answers.keep(left_behind, 201, b"late")
    await answers.abandon(left_behind)
    await answers.keep(second, 201, b"second")
    assert await answers.begin(place(workspace), b"{}") == KeptAnswer(201, b"second")


async def test_a_day_later_the_key_is_free(database: Database, database_url: str, workspace: UUID) -> None:
    answers = Answers(database, PROVIDER)
    await answers.keep(await begun(answers, place(workspace)), 201, b"x")
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    await begun(answers, place(workspace), b"another request")


async def test_neither_answer_nor_request_can_be_read_from_the_table(
    database: Database, database_url: str, workspace: UUID
) -> None:
    answers = Answers(database, PROVIDER)
    await answers.keep(await begun(answers, place(workspace), b"canary-in"), 201, b"canary-out")
    with psycopg.connect(database_url, autocommit=True) as admin:
        row = admin.execute("SELECT request_hash, answer FROM idempotency_keys").fetchone()
        assert row is not None
        assert b"canary" not in row[0] + row[1]
        # An answer that was copied to another place does not decrypt there.
        admin.execute("UPDATE idempotency_keys SET key = 'key-2'")
    with pytest.raises(KeyReusedError):
        await answers.begin(place(workspace, key="key-2"), b"canary-in")
