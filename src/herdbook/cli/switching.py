"""Moving services of a machine to a slot, with the user's own commands deciding."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from herdbook.cli.hooks import Hooks, Ran
from herdbook.cli.session import Session
from herdbook.core.artifacts import Artifact
from herdbook.errors import HerdbookError, Refused
from herdbook.front import staging
from herdbook.front.staging import Source
from herdbook.storage.slots import Held, Slots, Staged, Standing, Switched, surveyed

if TYPE_CHECKING:
    from herdbook.front.book import Herdbook


@contextmanager
def sourced(session: Session, ref: str) -> Iterator[Source]:
    """Find what a reference names; a register is opened only for a version of one."""
    with ExitStack() as stack:
        yield staging.sourced(
            ref, lambda version: registered(stack.enter_context(session.book()), version)
        )


def registered(book: "Herdbook", ref: str) -> Source:
    """Give a version of the register to stage."""
    return staging.registered(book.get(ref), book.artifacts.pull)


def holds(held: Held, files: tuple[Artifact, ...]) -> bool:
    """Whether a slot holds these files and no others; every byte of it is read."""
    try:
        found = surveyed(Path(held.path)).files
    except HerdbookError:
        return False
    return {(f.path, f.digest) for f in found} == {(f.path, f.digest) for f in files}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a command on slots did.

    Args:
        folder: of the slots.
        current: the slot that is read now, or "".
        version: what it holds, or "".
        staged: the staging, if there was one.
        switched: the move of `current`, if there was one.
        commands: what was run.
    """

    folder: str
    current: str
    version: str
    staged: Staged | None = None
    switched: Switched | None = None
    commands: tuple[Ran, ...] = ()


@dataclass
class Switching:
    """A folder of slots and the commands that go with a move.

    Args:
        session: where outputs are shown.
        slots: the folder.
        hooks: the commands.
        ran: what was run so far.
    """

    session: Session
    slots: Slots
    hooks: Hooks
    ran: list[Ran] = field(default_factory=list)

    def done(self, *, staged: Staged | None = None, switched: Switched | None = None) -> Done:
        """Give what was done and how it stands."""
        standing = self.slots.status()
        return Done(
            folder=standing.folder,
            current=standing.current,
            version=standing.live.version if standing.live else "",
            staged=staged,
            switched=switched,
            commands=tuple(self.ran),
        )

    def check_health(self, held: Held) -> None:
        """Ask the health command about a slot that is not current.

        Raises:
            Refused: it said no.
        """
        ran = self._run("health", held)
        if ran and not ran.ok:
            raise self.refused(
                f"{ran.told}: {held.slot} holds {held.version} and was not switched to; "
                f"{stands(self.slots.status())}"
            )

    def switch(self, held: Held) -> Switched:
        """Switch to a slot, restart, verify; when these fail, switch back and restart again.

        Raises:
            Refused: they failed; says how everything stands.
        """
        moved = self.slots.switch(held.slot, holding=held.id)
        try:
            failed = self.settle(held)
        except KeyboardInterrupt:
            self.session.note(f"{stands(self.slots.status())}, and stays so.")
            raise
        if failed is None:
            return moved
        told = f"{failed.told}: {self.go_back(moved)}; {held.slot} holds {held.version}"
        raise self.refused(told)

    def settle(self, held: Held) -> Ran | None:
        """Restart and verify; give what failed."""
        for name in ("restart", "verify"):
            ran = self._run(name, held)
            if ran and not ran.ok:
                return ran
        return None

    def go_back(self, moved: Switched) -> str:
        """Take a move back, restart and verify again, and tell of it in a sentence."""
        if not moved.changed:
            return f"{stands(self.slots.status())}, as it was before"
        try:
            self.slots.back(leaving=moved.slot)
        except HerdbookError as error:
            return f"{stands(self.slots.status())} and could not be moved back: {error.message}"
        standing = self.slots.status()
        before = len(self.ran)
        if standing.live:
            self.settle(standing.live)
        again = "".join(f", then {ran.told}" for ran in self.ran[before:])
        return f"{stands(standing)} again{again}"

    def refused(self, told: str) -> Refused:
        """What to raise when a command said no."""
        standing = self.slots.status()
        details: dict[str, object] = {
            "folder": standing.folder,
            "current": standing.current,
            "version": standing.live.version if standing.live else "",
            "commands": [vars_of(ran) for ran in self.ran],
        }
        return Refused(told, details=details)

    def _run(self, name: str, held: Held) -> Ran | None:
        ran = self.hooks.run(
            name, self.session, SLOT=held.slot, PATH=held.path, VERSION=held.version
        )
        if ran:
            self.ran.append(ran)
        return ran


def vars_of(ran: Ran) -> dict[str, object]:
    """Give a run as the details of an error."""
    return {
        "name": ran.name,
        "command": ran.command,
        "status": ran.status,
        "seconds": ran.seconds,
    }


def stands(standing: Standing) -> str:
    """Say what services read."""
    if not standing.current:
        return f"{standing.folder} has no current slot"
    held = f" ({standing.live.version})" if standing.live else ", which holds nothing"
    return f"{standing.folder}/current is {standing.current}{held}"
