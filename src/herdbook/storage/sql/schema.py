"""Revisions of the schema: what the database is at, what this program needs, the way there."""

import contextlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from herdbook.errors import SchemaMismatch, Unavailable
from herdbook.storage.sql.engine import Database, create_private

HEAD: Final = "0005"
LOCK_KEY: Final = 4_843_784_877


def revision(connection: Connection) -> str | None:
    """Give the revision a database is at, or None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return None if found is None else str(found)


def check(database: Database) -> str | None:
    """Give the revision a database is at.

    Raises:
        SchemaMismatch: it is newer than this program, or not a register at all.
    """
    with database.reading() as connection:
        at = revision(connection)
        tables = set(inspect(connection).get_table_names())
    if at is None and tables:
        raise SchemaMismatch(
            f"{database.shown} holds {', '.join(sorted(tables)[:3])} and no register; give another "
            "database"
        )
    if at is not None and at > HEAD:
        raise SchemaMismatch(
            f"{database.shown} is at revision {at}, this program knows {HEAD}: it was written by a "
            "newer Herdbook; update this one"
        )
    return at


def upgrade(database: Database, *, backup: bool = True) -> str | None:
    """Bring a database to the revision this program needs.

    A SQLite file that holds something is backed up beside itself first. On PostgreSQL the
    whole upgrade is one transaction under an advisory lock.

    Returns:
        The revision it was at, None when it was empty.
    """
    at = check(database)
    if at == HEAD:
        return at
    with _alone(database) as connection:
        at = revision(connection)
        if at != HEAD:
            # Here, where nobody else writes or upgrades: so it is one copy, of what was before.
            if at is not None and backup and database.path is not None:
                stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
                copy(database.path, database.path.with_suffix(f".before-{HEAD}-{stamp}.db"))
            _run(connection)
    return at


@contextlib.contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    with database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        yield connection


def _run(connection: Connection, *, to: str = "head") -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    scripts = str(Path(__file__).parent / "revisions").replace("%", "%%")
    config.set_main_option("script_location", scripts)
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, to)
    except CommandError as error:
        raise SchemaMismatch(
            f"there is no way up from this database's revision: {error}"
        ) from error


def copy(source: Path, target: Path) -> None:
    """Write a consistent copy of a SQLite file, also under load, that only its owner reads.

    Raises:
        Unavailable: the target is there already, or cannot be written.
    """
    if target.exists():
        raise Unavailable(f"{target} is there already; choose another name")
    partial = target.with_name(target.name + ".part")
    try:
        create_private(partial)
        with contextlib.closing(
            sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            connection.execute("PRAGMA busy_timeout=30000")
            connection.execute("VACUUM INTO ?", (str(partial),))
        partial.replace(target)
    except (sqlite3.Error, OSError) as error:
        partial.unlink(missing_ok=True)
        raise Unavailable(f"{source} cannot be copied to {target}: {error}") from error


def require(database: Database) -> None:
    """Refuse a database that is behind this program.

    Raises:
        SchemaMismatch: naming the command that brings it up to date.
    """
    at = check(database)
    if at != HEAD:
        raise SchemaMismatch(
            f"{database.shown} is at revision {at or 'none'}, this program needs {HEAD}; run "
            "`herdbook db upgrade`"
        )
