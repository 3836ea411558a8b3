"""`herdbook db …`."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from herdbook.cli import parameters as take
from herdbook.cli.audit import verdict_text
from herdbook.cli.commands import group
from herdbook.cli.session import Session
from herdbook.errors import Conflict, Corrupt, Invalid, NotFound

if TYPE_CHECKING:
    from herdbook.storage.sql.engine import Database

SQLITE_MARK = b"SQLite format 3\x00"
_BESIDE = ("-wal", "-shm", "-journal")


@group("db", examples=("db check", "db backup register-2026-01-14.db", "db upgrade"))
def db() -> None:
    """Upgrade, check, back up and restore the database."""


@contextmanager
def opened(session: Session) -> "Iterator[Database]":
    """Open the database itself, whatever its revision.

    Raises:
        Invalid: the register is behind a server.
    """
    from herdbook.storage.sql.engine import Database

    settings = session.settings()
    address = settings.database_url
    if address.startswith(("http://", "https://")):
        raise _behind_server(address)
    if not settings.url:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(address, busy_timeout_ms=settings.busy_timeout_ms)
    try:
        yield database
    finally:
        database.close()


def database_file(session: Session) -> Path | None:
    """Give the file of a SQLite register, or None for PostgreSQL.

    Raises:
        Invalid: the register is behind a server.
    """
    address = session.settings().database_url
    if address.startswith(("http://", "https://")):
        raise _behind_server(address)
    return Path(address.removeprefix("sqlite:///")) if address.startswith("sqlite") else None


def _behind_server(address: str) -> Invalid:
    return Invalid(
        f"{address} is a server; run this on the machine that can open its database, with "
        "--url sqlite:///… or postgresql://…",
        field="url",
    )


@db.command(
    "upgrade", examples=("db upgrade", "db upgrade --url postgresql://herdbook@db/herdbook")
)
@click.pass_obj
def upgrade(session: Session) -> None:
    """Bring the database to the revision this program needs.

    A SQLite file is backed up beside itself first.
    """
    from herdbook.storage.sql import schema

    with opened(session) as database:
        was = schema.upgrade(database)
    told = f"It is at revision {schema.HEAD}, and was before."
    if was != schema.HEAD:
        told = f"It is at revision {schema.HEAD} now; it was {was or 'empty'}."
    value = {"was": was, "revision": schema.HEAD}
    session.answer(value, ids=[schema.HEAD], text=lambda: told)


@db.command("check", examples=("db check", "db check --json"))
@click.pass_obj
def check(session: Session) -> None:
    """Check that the database is at the revision this program needs."""
    from herdbook.storage.sql import schema

    with opened(session) as database:
        schema.require(database)
        shown = database.shown
    value = {"database": shown, "revision": schema.HEAD}
    session.answer(
        value, ids=[schema.HEAD], text=lambda: f"{shown} is at revision {schema.HEAD}, as needed."
    )


@db.command("backup", examples=("db backup register-2026-01-14.db",))
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@click.pass_obj
def backup(session: Session, target: Path) -> None:
    """Write a consistent copy, also while others write.

    Of SQLite it is a SQLite file; of PostgreSQL, the portable export, which `herdbook db
    restore` takes as well (for point-in-time recovery use PostgreSQL's own tools).
    """
    from herdbook.storage.sql import schema

    # A server may own the file; a copy only reads, so it need not ask.
    path = database_file(session)
    if path is None:
        _export(session, target)
    elif path.is_file():
        schema.copy(path, target)
        _require_intact(target)
    else:
        raise NotFound(f"there is no database {path}", field="url")
    size = target.stat().st_size
    session.answer(
        {"target": str(target), "size_bytes": size},
        ids=[str(target)],
        text=lambda: f"Written to {target}: {size:,} bytes.",
    )


def _export(session: Session, target: Path) -> None:
    if target.exists():
        raise Conflict(f"{target} is there already; choose another name", field="target")
    partial = target.with_name(target.name + ".part")
    try:
        with session.book() as book, partial.open("w", encoding="utf-8") as file:
            file.writelines(line.rstrip("\n") + "\n" for line in book.export())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@db.command("restore", examples=("db restore register-2026-01-14.db --yes",))
@click.argument("source", type=click.Path(dir_okay=False, path_type=Path))
@take.yes_option
@click.pass_obj
def restore(session: Session, source: Path, *, yes: bool) -> None:
    """Put a backup where there is no register yet, and verify it.

    It never overwrites a register that holds anything. A damaged file is set aside under
    another name first.
    """
    if not source.is_file():
        raise NotFound(f"there is no file {source}", field="source")
    session.confirm(f"Restore {source} into {session.settings().database_url}?", yes=yes)
    with source.open("rb") as file:
        is_sqlite = file.read(len(SQLITE_MARK)) == SQLITE_MARK
    if is_sqlite:
        _require_intact(source)
    _set_aside(session, yes=yes)
    if is_sqlite:
        _restore_file(session, source)
    else:
        _restore_export(session, source)
    with session.book() as book:
        found = book.events.verify()
    if not found.ok:
        raise Corrupt(f"{source} is restored, but its audit log does not verify: {found.problem}")
    session.answer(
        found, ids=[str(found.head.seq)], text=lambda: f"Restored. {verdict_text(found)}"
    )


def _restore_export(session: Session, source: Path) -> None:
    with session.book() as book, source.open(encoding="utf-8") as file:
        book.load(file)


def _restore_file(session: Session, source: Path) -> None:
    from herdbook.storage.sql import schema

    with opened(session) as database:
        target = database.path
        if target is None:
            raise Invalid(
                f"{source} is a SQLite file and {database.shown} is PostgreSQL: run `herdbook "
                f"export --url sqlite:///{source} -o register.jsonl` and restore that",
                field="source",
            )
        _require_empty(database)
    partial = target.with_name(target.name + ".restored")
    partial.unlink(missing_ok=True)  # of a restore that was stopped
    schema.copy(source, partial)
    for left in _BESIDE:
        # What an empty register left beside itself must not be read into this one.
        target.with_name(target.name + left).unlink(missing_ok=True)
    partial.replace(target)


def _set_aside(session: Session, *, yes: bool) -> None:
    path = database_file(session)
    if path is None or not path.is_file() or not _is_damaged(path):
        return
    session.confirm(f"{path} is damaged. Set it aside under another name?", yes=yes)
    with opened(session):  # refuses while a server owns the file
        aside = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        for left in _BESIDE:
            # A write-ahead log or journal belongs to its file, and may hold what it lacks.
            with suppress(FileNotFoundError):
                path.with_name(path.name + left).rename(aside.with_name(aside.name + left))
        path.rename(aside)
    session.note(f"{path} is damaged; it is set aside as {aside}")


def _is_damaged(path: Path) -> bool:
    # Locked or not readable is not damaged: only what SQLite itself says of the bytes counts.
    import sqlite3

    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            return str(file.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok"
    except sqlite3.Error as error:
        found = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return found in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _require_empty(database: "Database") -> None:
    from sqlalchemy import text

    from herdbook.storage.sql import schema

    if database.path is not None and not database.path.exists():
        return
    if schema.check(database) is None:
        return
    with database.reading() as connection:
        events = int(connection.execute(text("SELECT count(*) FROM events")).scalar_one())
    if events:
        raise Conflict(
            f"{database.shown} holds a register with {events:,} events; restore into a place "
            "where there is none, with --url sqlite:///another.db",
            field="url",
        )


def _require_intact(source: Path) -> None:
    problems = integrity(source)
    if problems != "ok":
        raise Corrupt(f"{source} is damaged: {problems}; take another backup", field="source")


def integrity(path: Path) -> str:
    """Run SQLite's own check of a file; "ok" or what is wrong first."""
    import sqlite3

    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
        ) as connection:
            return str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return str(error)
