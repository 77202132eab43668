"""What can go wrong with the database, as its callers see it.

StoreError
├── DatabaseUrlError       DATABASE_URL can't be used; nothing was tried
├── HomeError              the folder of the embedded server and its keys can't be used
├── UnreachableError       the server can't be reached, refuses the login or went away
│   └── FullDiskError      the server's disk is full
├── BusyError              the server gave up waiting: a lock, a time limit, a deadlock; trying again may work
├── ServerVersionError     the server is older than what is supported
├── PoolerError            a pooler gives each transaction another session
├── NotMigratedError       the tables are missing or older than this release
│   ├── NewerDatabaseError the tables are those of a later release
│   └── RestoredError      the tables are from another server's dump, and not yet numbered anew
├── RoleError              the login lacks a role, or a role has rights that break isolation
├── RecordError            a value can't be stored; it names the column, never the value
├── AccountChangedError    the connection is another account's by now
├── ColumnsChangedError    the connection leaves out other columns by now
├── StartChangedError      the stream begins earlier by now
├── DuplicateNameError     the name is taken
├── VersionConflictError   somebody else changed it first
└── InvalidSettingError    a name, an interval or a rule can't be used

Each room of the store that has errors of its own derives them from StoreError. Messages say what was tried,
what went wrong and what to do. They never hold a password or a stored value.
"""


class StoreError(Exception):
    """Base of all errors of the store."""


class DatabaseUrlError(StoreError):
    """DATABASE_URL can't be used. The message does not quote it: it may hold a password."""


class HomeError(StoreError):
    """The folder that an installation without DATABASE_URL keeps everything in can't be made or used."""


class UnreachableError(StoreError):
    """The database can't be reached, refuses the login or went away; what was not committed is undone."""


class BusyError(StoreError):
    """A lock, a time limit or a deadlock ended the transaction; the same again may well succeed."""


class ServerVersionError(StoreError):
    """The server is older than PostgreSQL 15."""


class PoolerError(StoreError):
    """A pooler stands before the server and gives each transaction another session."""

    def __init__(self) -> None:
        super().__init__(
            "DATABASE_URL leads to a pooler that gives each transaction another session of the server (transaction or "
            "statement pooling): locks, roles and temporary tables would be shared with others. Use the pooler's "
            "session mode (pgbouncer: pool_mode = session; Supabase: port 5432), or the server itself"
        )


class FullDiskError(UnreachableError):
    """The server has no room left on its disk; what was not committed is undone."""


class NotMigratedError(StoreError):
    """The tables are missing or are not those of this release."""


class NewerDatabaseError(NotMigratedError):
    """The tables are those of a later release, which this one must not touch.

    Args:
        database: Its name.
        revision: Where it is.
        head: What this release works with.
    """

    def __init__(self, database: str, revision: str, head: str) -> None:
        super().__init__(
            f"the database {database} is at revision {revision}, made by a later release than this one, which knows "
            f"revisions up to {head}; install that release, or restore a backup that is older"
        )


class RestoredError(NotMigratedError):
    """The database is a restored dump whose positions another server counted (:mod:`unified.store.restored`)."""


class RoleError(StoreError):
    """A role is missing, can't be taken on, or would see other workspaces' rows."""


class RecordError(StoreError):
    """PostgreSQL can't hold a value of a record; nothing of its batch was stored.

    Attributes:
        source_id: Which record.
        column: Which of its columns, where the server says.
    """

    def __init__(self, message: str, *, source_id: str, column: str | None) -> None:
        super().__init__(message)
        self.source_id = source_id
        self.column = column


class AccountChangedError(StoreError):
    """What was to be stored is of an account that the connection no longer leads to; nothing of it was stored."""

    def __init__(self) -> None:
        super().__init__("its credentials open another account by now; the next run reads that one")


class ColumnsChangedError(StoreError):
    """What was to be stored holds columns that the connection leaves out by now; nothing of it was stored."""

    def __init__(self) -> None:
        super().__init__("other columns are left out or hashed by now; the next run reads by the new rules")


class StartChangedError(StoreError):
    """What was to be stored leaves out records of a stream that begins earlier by now; nothing of it was stored."""

    def __init__(self) -> None:
        super().__init__("its stream begins earlier by now; the next run reads it anew from there")


class DuplicateNameError(StoreError):
    """The name is taken."""


class VersionConflictError(StoreError):
    """Somebody else changed it first; nothing was changed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was changed by somebody else; read it again, and then change it")


class InvalidSettingError(StoreError):
    """A name, an interval, a field rule or a setting is not usable."""
