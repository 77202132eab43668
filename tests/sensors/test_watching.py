"""A tick that stays."""

import pytest

from resources.store import DatabaseResource
from sensors import watching
from unified.store.database import Database


@pytest.mark.parametrize(
    ("stay", "found", "looks"),
    [(0.0, None, 1), (60.0, "a request", 3)],
    ids=["ends when its time is over", "ends as soon as something is found"],
)
def test_a_tick_looks_until_it_finds(
    database_url: str, monkeypatch: pytest.MonkeyPatch, stay: float, found: str | None, looks: int
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setattr(watching, "WATCH_SECONDS", stay)
    seen = []

    async def look(db: Database) -> str | None:
        seen.append(db)
        return "a request" if len(seen) == 3 else None

    assert watching.watch(DatabaseResource(), look, 0.0) == found
    assert len(seen) == looks
    assert len(set(map(id, seen))) == 1, "the database is opened once"
