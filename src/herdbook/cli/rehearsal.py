"""`--dry-run`: the verbs really run, in one transaction that is taken back."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from herdbook.bootstrap import LocalDoor, open_door
from herdbook.core.artifacts import Artifact
from herdbook.core.blobs import How, Said, Stored, silent
from herdbook.core.models import Version
from herdbook.core.pages import Page
from herdbook.errors import Invalid
from herdbook.front.book import Herdbook
from herdbook.services.verbs import LINES, LOADS, READS, WRITES
from herdbook.settings import Settings
from herdbook.storage.sql.work import SqlWork

T = TypeVar("T")


class _TakeBackError(Exception):
    """Leaves the transaction without a commit."""


class Rehearsal:
    """A door whose verbs all run in one unit of work."""

    def __init__(self, work: SqlWork, address: str) -> None:
        self._work = work
        self.address = address

    def call(self, kind: type[T], verb: str, /, **arguments: Any) -> T:
        """Run a verb that gives one value."""
        found: T = (READS | WRITES)[verb](self._work, **arguments)
        return found

    def page(self, kind: type[T], verb: str, /, **arguments: Any) -> Page[T]:
        """Run a verb that gives a page of values."""
        found: Page[T] = READS[verb](self._work, **arguments)
        return found

    def lines(self, verb: str, /, **arguments: Any) -> Iterator[str]:
        """Run a verb that gives lines of text."""
        yield from LINES[verb](self._work, **arguments)

    def load(self, kind: type[T], verb: str, lines: Iterable[str], /, **arguments: Any) -> T:
        """Run a verb that takes lines of text."""
        found: T = LOADS[verb](self._work, lines, **arguments)
        return found

    def send(self, paths: Sequence[Path], *, said: Said = silent) -> Iterator[Stored]:
        """Refuse to move bytes: they cannot be taken back."""
        raise Invalid("bytes cannot be taken back; `artifacts push --dry-run` tells what would go")

    def take(self, chunks: Iterable[bytes], *, digest: str, size: int) -> Stored:
        """Refuse to move bytes."""
        raise Invalid("bytes cannot be taken back", field="dry_run")

    def stream(self, file: Artifact) -> Iterator[bytes]:
        """Refuse to move bytes."""
        raise Invalid("a dry run reads no bytes", field="dry_run")

    def fetch(self, file: Artifact, to: Path, *, link: bool = True, said: Said = silent) -> How:
        """Refuse to move bytes."""
        raise Invalid("a dry run pulls nothing", field="dry_run")

    def fresh(self, ref: str, mark: str) -> tuple[str, Version] | None:
        """Give what a reference points at."""
        return (mark, READS["versions.get"](self._work, ref))

    def advance(self) -> None:
        """Look at no experiment: a rehearsal acts on none."""

    def close(self) -> None:
        """Leave the closing to whoever opened the database."""


def _take_back() -> None:
    raise _TakeBackError


@contextmanager
def rehearsed(settings: Settings) -> Iterator[Herdbook]:
    """Open a register whose changes are taken back.

    Raises:
        Invalid: the register is behind a server, which commits each request.
    """
    door = open_door(settings)
    try:
        if not isinstance(door, LocalDoor):
            raise Invalid(
                f"{door.address} is a server and commits every request: --dry-run works only on "
                "a database given with --url, on the machine that can open it",
                field="dry_run",
            )
        with suppress(_TakeBackError), door.writing() as work:
            yield Herdbook(Rehearsal(work, door.address))
            _take_back()
    finally:
        door.close()
