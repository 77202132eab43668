"""Where the database is: the URL to work with, one that can be used, and those of others on the same server."""

import os
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from unified.store.errors import DatabaseUrlError


def database_url() -> str:
    """The database to work with: ``DATABASE_URL``, or else the embedded server, started where need be.

    Returns:
        A ``postgresql://`` URL.

    Raises:
        DatabaseUrlError: If ``DATABASE_URL`` is not a usable PostgreSQL URL.
        UnreachableError: If the embedded server does not start.
    """
    if url := os.environ.get("DATABASE_URL"):
        return check_url(url)
    from unified.store.server import embedded  # noqa: PLC0415 - of no use with a server of one's own

    return embedded.start(embedded.home())


def check_url(url: str) -> str:
    """Refuse a URL that libpq would read differently from what its author meant.

    An unescaped ``@`` or ``/`` in a password moves a part of it into the host or port, and from there into
    error messages (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS).

    Args:
        url: For example ``postgresql://user:password@host:5432/database``.

    Returns:
        The same URL.

    Raises:
        DatabaseUrlError: Without quoting the URL.
    """
    hint = (
        "expected postgresql://user:password@host:5432/database, with %40 for @ and %2F for / in the password"
    )
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        parts = {}
    ports = str(parts.get("port", "5432")).split(",")
    if not url.startswith(("postgresql://", "postgres://")) or not parts.get("dbname"):
        msg = f"DATABASE_URL names no PostgreSQL database (not shown, it may hold a password); {hint}"
        raise DatabaseUrlError(msg)
    if "@" in str(parts.get("host", "")) or not all(port.isdigit() for port in ports):
        msg = f"DATABASE_URL has a host or port that can't be (not shown, it may hold a password); {hint}"
        raise DatabaseUrlError(msg)
    return url


def beside(url: str, database: str) -> str:
    """The URL of another database on the same server, reached the same way.

    Args:
        url: As from :func:`database_url`.
        database: Name of the other database.
    """
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def lacks_database(url: str) -> bool:
    """Whether the server has no database of the name in a URL; False where it can't be asked.

    A login that fails does not say: libpq gives it no error code, and the server's sentence is in its own language.
    """
    name = conninfo_to_dict(url).get("dbname")
    try:
        with psycopg.connect(beside(url, "postgres")) as conn:
            return conn.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is None
    except psycopg.Error:
        return False
