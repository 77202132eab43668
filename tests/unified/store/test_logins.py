"""`unified migrate` by logins that others have been before: which grant is missing is said, and is enough."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest

from tests.conftest import connectors, execute
from unified.store.database import Database
from unified.store.doctor.examine import examine
from unified.store.errors import RoleError
from unified.store.migrate import migrate
from unified.store.server.urls import beside

ACTING = ("unified_owner", "unified_app", "unified_scheduler", "unified_ingress", "unified_api")


@contextmanager
def owner(server_url: str) -> Iterator[tuple[str, str]]:
    """A login with CREATEROLE that owns an empty database: its name, and its URL."""
    name, admin = f"test_login_{uuid4().hex[:8]}", beside(server_url, "postgres")
    execute(
        admin, f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD 'fake'", f"CREATE DATABASE {name} OWNER {name}"
    )
    parts = urlsplit(beside(server_url, name))
    try:
        yield name, urlunsplit(parts._replace(netloc=f"{name}:fake@{parts.netloc.rpartition('@')[2]}"))
    finally:
        execute(admin, f"DROP DATABASE {name} WITH (FORCE)", f"DROP ROLE {name}")


@pytest.fixture
def admin(server_url: str, template: str) -> str:
    """A superuser's URL, on a server with roles that another login has made: those of the session's template."""
    assert template
    return beside(server_url, "postgres")


def _grant(url: str, error: pytest.ExceptionInfo[RoleError]) -> None:
    """Do what the message says."""
    statement = str(error.value).partition("superuser: ")[2].partition(";")[0]
    assert statement.startswith("GRANT ")
    execute(url, statement)


async def test_the_missing_grant_is_said_and_is_enough(admin: str) -> None:
    with owner(admin) as (name, url):
        if _version(admin) < 16:
            pytest.skip("until PostgreSQL 15 CREATEROLE may grant any role")
        with pytest.raises(RoleError, match="made by another login") as caught:
            migrate(url, connectors())
        for role in ACTING:
            assert role in str(caught.value), "all of them at once"
        assert f"TO {name} WITH ADMIN OPTION" in str(caught.value)
        _grant(admin, caught)
        migrate(url, connectors())
        async with Database.open(url):
            pass
        assert not [finding for finding in await examine(url) if finding.about == "roles"]
        execute(admin, *(f"REVOKE {role} FROM {name}" for role in ACTING))


@pytest.mark.parametrize(
    "granted",
    [
        "WITH SET FALSE",  # it has the rights, and may not take the role on
        "WITH SET FALSE, INHERIT FALSE",
    ],
)
async def test_a_membership_that_excludes_acting_is_seen_everywhere(admin: str, granted: str) -> None:
    with owner(admin) as (name, url):
        if _version(admin) < 16:
            pytest.skip("a membership excludes nothing until PostgreSQL 15")
        execute(admin, *(f"GRANT {role} TO {name}" for role in ACTING))
        migrate(url, connectors())
        execute(admin, f"GRANT unified_app TO {name} {granted}")
        with pytest.raises(RoleError, match=f"GRANT unified_app TO {name}") as opened:
            async with Database.open(url):
                pass
        with pytest.raises(RoleError, match=f"{name} can't act as unified_app, made by"):
            migrate(url, connectors())
        (found,) = [finding for finding in await examine(url) if finding.about == "roles"]
        assert f"GRANT unified_app TO {name} WITH SET TRUE" in found.message
        execute(admin, str(opened.value).partition("administrator: ")[2])
        async with Database.open(url):
            pass
        execute(admin, *(f"REVOKE {role} FROM {name}" for role in ACTING))


@pytest.mark.parametrize(
    "granted",
    [
        "",  # the roles alone
        "WITH ADMIN OPTION",  # and the right to hand them on
        "WITH ADMIN TRUE, SET FALSE, INHERIT FALSE",  # that right alone: it grants itself the rest
    ],
)
async def test_what_is_enough_is_not_asked_for(admin: str, granted: str) -> None:
    with owner(admin) as (name, url):
        if _version(admin) < 16 and "SET" in granted:
            pytest.skip("a membership excludes nothing until PostgreSQL 15")
        execute(admin, *(f"GRANT {role} TO {name} {granted}" for role in ACTING))
        migrate(url, connectors())
        async with Database.open(url):
            pass
        execute(admin, *(f"REVOKE {role} FROM {name} CASCADE" for role in ACTING))


def _version(url: str) -> int:
    with psycopg.connect(url) as conn:
        return conn.info.server_version // 10_000
