"""The rollback procedure: the champion, the bytes, the restart and the proof, in one command."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from herdbook.cli import hooks as run
from herdbook.cli import views
from herdbook.cli.hooks import Hooks, Ran
from herdbook.cli.output import line
from herdbook.cli.session import Session
from herdbook.cli.switching import holds, registered, stands, vars_of
from herdbook.core.deployments import Move
from herdbook.errors import HerdbookError, Invalid, Refused
from herdbook.storage.slots import Slots, Switched, slot_name

if TYPE_CHECKING:
    from herdbook.front.book import Herdbook

UNDONE: Final = "the rollback before was taken back: it did not verify"
Function = Callable[..., None]


def options(command: Function) -> Function:
    """Take what the procedure needs beyond the move in the register."""
    command = run.options("restart", "verify")(command)
    command = click.option(
        "--undo", is_flag=True, help="When that fails, put everything back as it was."
    )(command)
    command = click.option(
        "--slot", default="", help="The slot to restore into; one that is not current."
    )(command)
    return click.option(
        "--to",
        "folder",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="Restore the bytes in this folder of slots.",
    )(command)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What a rollback with everything that goes with it did.

    Args:
        move: of the alias in the register.
        switched: of `current` in the folder of slots, if one was given.
        commands: what was run.
    """

    move: Move
    switched: Switched | None
    commands: tuple[Ran, ...]


@dataclass
class Recovery:
    """A machine to bring back after the register.

    Args:
        session: where outputs are shown.
        hooks: what to run.
        slots: the folder of slots, if the bytes are to be restored.
        slot: the slot to restore into, or "".
        undo: whether to take all back when something fails.
    """

    session: Session
    hooks: Hooks
    slots: Slots | None = None
    slot: str = ""
    undo: bool = False
    ran: list[Ran] = field(default_factory=list)

    @classmethod
    def taken(cls, session: Session, given: dict[str, Any]) -> "Recovery | None":
        """Take the options out of a command's; None when none of them was given.

        Raises:
            Invalid: they cannot be followed; nothing was done yet.
        """
        folder, slot, undo = given.pop("folder"), given.pop("slot"), given.pop("undo")
        names = ("restart", "verify", "timeout", "within")
        hooks = Hooks(**{name: given.pop(name) for name in names})
        if slot and folder is None:
            raise Invalid("--slot is one of a folder: give --to FOLDER too", field="slot")
        if folder is None and not hooks.restart and not hooks.verify:
            if undo:
                raise Invalid("--undo takes back what --verify refuses: give that", field="undo")
            return None
        slots = None if folder is None else Slots(folder)
        if slots is not None:
            slots.stageable(slot_name(slot) if slot else slots.free())
        return cls(session, hooks, slots=slots, slot=slot, undo=undo)

    def follow(self, book: "Herdbook", move: Move) -> Recovered:
        """Bring the machine to where the register is.

        Raises:
            Refused: something failed; says how everything stands and how to go on.
        """
        switched, failed = None, ""
        try:
            switched = self._restored(book, move) if self.slots else None
            failed = self._settled(move)
        except HerdbookError as error:
            failed = f"the bytes were not restored: {error.message}"
        if failed:
            raise self._refused(book, move, switched, failed)
        return Recovered(move=move, switched=switched, commands=tuple(self.ran))

    def plan(self, move: Move) -> str:
        """Say what would follow a move."""
        steps = [f"restore {_ref(move)} in {self.slots.folder}"] if self.slots else []
        steps += [
            f"run {command}" for command in (self.hooks.restart, self.hooks.verify) if command
        ]
        return f"Would then {', then '.join(line(step) for step in steps)}."

    def text(self, done: Recovered) -> str:
        """Say what was done."""
        told = [views.moved(done.move)]
        if self.slots:
            already = ", as it was" if done.switched and not done.switched.changed else ""
            told.append(f"{stands(self.slots.status())}{already}.")
        return "\n".join([*told, *(f"{ran.told}." for ran in done.commands)])

    # --- steps ---

    def _restored(self, book: "Herdbook", move: Move) -> Switched:
        """Make a slot current that holds the version: one that does, or a new staging."""
        assert self.slots  # noqa: S101 - the caller looked
        source = registered(book, _ref(move))
        # The one that is read comes first: where it holds these bytes, nothing moves.
        for held in self.slots.held():
            wanted = held.digest == source.digest and self.slot in {"", held.slot}
            if wanted and holds(held, book.artifacts.files(source.version).files):
                return self.slots.switch(held.slot, holding=held.id)
        staged = self.slots.stage(
            self.slot or self.slots.free(),
            source.fill,
            version=source.version,
            digest=source.digest,
        )
        return self.slots.switch(staged.held.slot, holding=staged.held.id)

    def _settled(self, move: Move) -> str:
        """Restart and verify; say what failed, or nothing."""
        facts = {"MODEL": move.model, "VERSION": _ref(move)}
        live = self.slots.status().live if self.slots else None
        if live:
            facts |= {"SLOT": live.slot, "PATH": live.path}
        for name in ("restart", "verify"):
            ran = self.hooks.run(name, self.session, **facts)
            if ran:
                self.ran.append(ran)
                if not ran.ok:
                    return ran.told
        return ""

    # --- when something failed ---

    def _refused(
        self, book: "Herdbook", move: Move, switched: Switched | None, failed: str
    ) -> Refused:
        told = self._undone(book, move, switched) if self.undo else self._ways(move)
        return Refused(
            f"{failed}. {told}",
            details={
                "move": {"from": move.from_number, "to": move.to_number, "epoch": move.epoch},
                "undone": self.undo,
                "commands": [vars_of(ran) for ran in self.ran],
            },
        )

    def _ways(self, move: Move) -> str:
        stay = [f"{move.model}@{move.alias} is {move.to_number}"]
        if self.slots and self.slots.exists():
            stay.append(stands(self.slots.status()))
        other = "" if move.alias == "champion" else f" --alias {move.alias}"
        forward = ""
        if move.from_number:
            stay[0] += f", it was {move.from_number}"
            again = f"herdbook deploy {_ref(move, forward=True)}{other}"
            forward = f", `{again}` takes the newer one again"
        return (
            f"Nothing was taken back: {'; '.join(stay)}. To go on, mend what failed and run it "
            f"again; `herdbook rollback {move.model}{other}` goes one further back{forward}"
        )

    def _undone(self, book: "Herdbook", move: Move, switched: Switched | None) -> str:
        """Put the register and the machine back, each as far as it goes, and tell how far."""
        told = [self._register_back(book, move)]
        if self.slots and switched and switched.changed:
            told.append(self._slots_back(switched))
        if self.ran:  # else nothing on this machine was touched
            before = len(self.ran)
            self._settled(replace(move, from_number=move.to_number, to_number=move.from_number))
            told += [ran.told for ran in self.ran[before:]]
        return f"Taken back: {'; '.join(told)}"

    def _register_back(self, book: "Herdbook", move: Move) -> str:
        given: dict[str, Any] = {"reason": UNDONE, "expected_epoch": move.epoch}
        try:
            if not move.from_number:
                book.deployments.remove(move.model, move.alias, **given)
                return f"{move.model}@{move.alias} points nowhere again"
            ref = _ref(move, forward=True)
            back = book.deployments.promote(ref, alias=move.alias, **given)
        except HerdbookError as error:
            return (
                f"{move.model}@{move.alias} stays at {move.to_number}, it could not be moved: "
                f"{error.message}"
            )
        return f"{back.model}@{back.alias} is {back.to_number} again"

    def _slots_back(self, switched: Switched) -> str:
        assert self.slots  # noqa: S101 - the caller looked
        try:
            self.slots.back(leaving=switched.slot)
        except HerdbookError as error:
            return f"{stands(self.slots.status())}, it could not be moved back: {error.message}"
        return f"{stands(self.slots.status())} again"


def _ref(move: Move, *, forward: bool = False) -> str:
    return f"{move.model}:{move.from_number if forward else move.to_number}"
