"""What a folder of slots knows of itself: what each holds, and which was current when."""

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from herdbook.core import wire
from herdbook.errors import Corrupt, Invalid

T = TypeVar("T")
CURRENT: Final = "current"
HISTORY_LIMIT: Final = 200
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")


def slot_name(text: str) -> str:
    """Check the name of a slot.

    Raises:
        Invalid: it is none.

    Example:
        >>> slot_name("green")
        'green'
    """
    if type(text) is not str or not _NAME.match(text):
        raise Invalid(
            f"{text!r:.80} cannot be the name of a slot: write 1 to 64 letters, digits, - and _, "
            "such as green",
            field="slot",
        )
    if text.casefold() == CURRENT:
        raise Invalid(
            f"{text} is the link that says which slot is read; name the slot green or blue",
            field="slot",
        )
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a slot holds.

    Args:
        slot: its name.
        id: of this staging; no other has it.
        version: what was staged, `majora:v2` or `local:artifacts/model-v1`.
        digest: of the manifest of its files.
        files: how many.
        size: their bytes together.
        at: since when.
        path: where services find it.
    """

    slot: str
    id: str
    version: str
    digest: str
    files: int
    size: int
    at: datetime
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A staging that is done.

    Args:
        held: what the slot holds now.
        before: the version it held before, or "".
    """

    held: Held
    before: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """A move of `current`.

    Args:
        seq: 1, 2, 3… in one folder.
        slot: the slot it points at since.
        id: of what the slot held then.
        version: the same, as people call it.
        digest: of its manifest.
        was: the slot before, or "".
        back: the `seq` whose slot one step back leads to; 0 when none.
        at: when.
        changed: False where it was so already.
    """

    seq: int
    slot: str
    id: str
    version: str
    digest: str
    was: str
    back: int
    at: datetime
    changed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a folder of slots stands.

    Args:
        folder: which.
        current: the slot services read, or "".
        slots: what each holds, by name.
        history: moves of `current`, newest first.
    """

    folder: str
    current: str
    slots: tuple[Held, ...]
    history: tuple[Switched, ...]

    @property
    def live(self) -> Held | None:
        """What services read."""
        return next((held for held in self.slots if held.slot == self.current), None)


@dataclass(frozen=True, slots=True)
class History:
    """The moves of `current`, oldest first, as they are kept in a file."""

    moves: tuple[Switched, ...] = field(default_factory=tuple)

    @property
    def text(self) -> str:
        """As it is written."""
        return wire.dumps({"moves": list(self.moves[-HISTORY_LIMIT:])})

    @classmethod
    def parse(cls, text: str, *, place: str) -> "History":
        """Read it.

        Raises:
            Corrupt: it cannot be read.
        """
        return parsed(cls, text, place=place)

    def settled(self, live: Held | None, since: datetime | None) -> "History":
        """Give what really happened, for a move is written down before it is made.

        Args:
            live: what `current` holds.
            since: when its link was made.
        """
        last = self.moves[-1] if self.moves else None
        if live is None or (last and (last.slot, last.id) == (live.slot, live.id)):
            return self
        if last and (since is None or since <= last.at):
            return History(self.moves[:-1]).settled(live, since)
        # Somebody laid the link by hand.
        was, back = (last.slot, last.seq) if last else ("", 0)
        return self.moved(live, since or live.at, was=was, back=back)

    def moved(self, to: Held, at: datetime, *, was: str, back: int) -> "History":
        """Add a move."""
        last = self.moves[-1] if self.moves else None
        move = Switched(
            seq=last.seq + 1 if last else 1,
            slot=to.slot,
            id=to.id,
            version=to.version,
            digest=to.digest,
            was=was,
            back=back,
            at=at,
        )
        return History((*self.moves, move))

    def before(self) -> Switched | None:
        """Give the move that one step back from the last one leads to."""
        back = self.moves[-1].back if self.moves else 0
        return next((move for move in self.moves if move.seq == back), None)


def parsed(kind: type[T], text: str, *, place: str) -> T:
    """Read a record.

    Raises:
        Corrupt: it cannot be read.
    """
    try:
        return wire.value(kind, json.loads(text))
    except (ValueError, RecursionError, Invalid):
        raise Corrupt(
            f"{place} cannot be read: it was damaged, or written by a newer Herdbook"
        ) from None
