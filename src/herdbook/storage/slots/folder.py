"""A folder of slots: each is filled beside, whole, and `current` moves between them in one step.

    /srv/models/
      blue -> .slots/<id>/files      what is staged, under the name of its slot
      green -> .slots/<id>/files
      current -> blue                what services read
      .slots/<id>/held.json          which version that is
      .slots/history.json            the moves of `current`

Two locks: `staging` for as long as a slot is filled, `moving` for the moment in which a link is
replaced, so that a step back never waits for somebody's copying.
"""

import contextlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from herdbook.core import wire
from herdbook.errors import Conflict, Corrupt, Invalid, NotFound
from herdbook.storage.slots.copies import sealed
from herdbook.storage.slots.disk import (
    disk_errors,
    link_target,
    locked,
    point,
    sync,
    tidy,
    write_whole,
)
from herdbook.storage.slots.records import (
    CURRENT,
    Held,
    History,
    Staged,
    Standing,
    Switched,
    parsed,
    slot_name,
)

CONTENTS: Final = ".slots"
LOOKS: Final = 20
_ID: Final = re.compile(r"[0-9a-f]{16}\Z")
_TARGET: Final = re.compile(rf"{re.escape(CONTENTS)}/([0-9a-f]{{16}})/files\Z")


def _now() -> datetime:
    return datetime.now(UTC)


class Slots:
    """A folder such as `/srv/models`, which the first staging makes.

    Args:
        folder: where.
        clock: what time it is.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], datetime] = _now) -> None:
        self.folder = folder.expanduser().absolute()
        self._contents = self.folder / CONTENTS
        self._history = self._contents / "history.json"
        self._clock = clock

    # --- change ---

    def stage(
        self, slot: str, fill: Callable[[Path], object], *, version: str, digest: str
    ) -> Staged:
        """Fill a slot that is not current; what it held is replaced at the end.

        Args:
            slot: its name.
            fill: makes the folder it is given, and the files in it.
            version: what is staged, as people call it.
            digest: of the manifest of its files; whoever fills answers for it.

        Raises:
            Conflict: the slot is current, or something else has its name.
        """
        slot_name(slot)
        self._make()
        with locked(self._contents / "staging.lock"):
            self.stageable(slot)
            self._sweep()
            try:
                held = self._filled(slot, fill, version=version, digest=digest)
                with self._moving():
                    before = self.stageable(slot)
                    point(self.folder / slot, f"{CONTENTS}/{held.id}/files", scratch=self._contents)
            finally:
                with contextlib.suppress(OSError):  # the next staging tries again
                    self._sweep()
        return Staged(held=held, before=before.version if before else "")

    def switch(self, slot: str, *, holding: str = "") -> Switched:
        """Point `current` at a slot, in one step; asked for twice, it is done once.

        Args:
            slot: its name.
            holding: the id of the staging it must still hold; "" for any.

        Raises:
            NotFound: nothing is staged there.
            Conflict: another staging is there than that, or `current` is no link of this folder.
        """
        slot_name(slot)
        self._refuse_missing()
        with self._moving():
            to = self._there(slot)
            if holding and to.id != holding:
                raise Conflict(
                    f"{slot} holds {to.version} since {to.at:%H:%M:%S}Z, which somebody else "
                    "staged; stage again, or into another slot",
                    field="slot",
                )
            history, live = self._settled(), self._live()
            if live == slot and history.moves:
                return replace(history.moves[-1], changed=False)
            back = history.moves[-1].seq if history.moves and live else 0
            return self._move(history, to, was=live, back=back)

    def back(self, *, leaving: str = "") -> Switched:
        """Point `current` at the slot before; a second time goes further back, not forward.

        Args:
            leaving: the slot that must be current; "" for any.

        Raises:
            NotFound: there is none before.
            Conflict: it holds another version than it did then, or `leaving` is not current.
        """
        self._refuse_missing()
        with self._moving():
            history, live = self._settled(), self._live()
            if leaving and live != leaving:
                raise Conflict(
                    f"{self.folder / CURRENT} is {live or 'nowhere'}, not {leaving}: somebody "
                    "switched meanwhile",
                    field="slot",
                )
            target = self._before(history, live)
            return self._move(history, self._as_then(target), was=live, back=target.back)

    # --- look ---

    def status(self) -> Standing:
        """Tell what each slot holds, which is current, and which was when."""
        self._refuse_missing()
        for _ in range(LOOKS):
            try:
                return self._standing()
            except Corrupt:
                # Looked at without a lock: what was staged before may just be going away.
                continue
        return self._standing()

    def before(self) -> Held:
        """Give what `back` would lead to, without moving; raises as that does."""
        self._refuse_missing()
        return self._as_then(self._before(self._settled(), self._live()))

    def held(self) -> list[Held]:
        """Give what the slots hold, the current one first; nothing where nothing was staged."""
        standing = self.status() if self.exists() else None
        if standing is None:
            return []
        return sorted(standing.slots, key=lambda held: held.slot != standing.current)

    def exists(self) -> bool:
        """Whether anything was ever staged."""
        return self._contents.exists()

    def free(self) -> str:
        """Name the slot to stage into: the one that is not current, green or blue at first."""
        if not self._contents.exists():
            return "blue"
        live, names = self._live(), self._names()
        others = [name for name in names if name != live]
        return others[0] if others else ("green" if live == "blue" else "blue")

    def stageable(self, slot: str) -> Held | None:
        """Give what a staging would replace, without touching anything.

        Raises:
            Conflict: the slot is current, or something else has its name.
        """
        slot_name(slot)
        self._refuse_file()
        self._refuse_current(slot)
        return self._held(slot)

    def _standing(self) -> Standing:
        held = (self._held(name) for name in self._names())
        return Standing(
            folder=str(self.folder),
            current=self._live(),
            slots=tuple(each for each in held if each),
            history=self._settled().moves[::-1],
        )

    # --- inside ---

    @contextlib.contextmanager
    def _moving(self) -> Iterator[None]:
        with locked(self._contents / "moving.lock"):
            tidy(self._contents)
            yield

    def _refuse_file(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise Invalid(f"{self.folder} is a file; give a folder for the slots", field="to")

    def _make(self) -> None:
        self._refuse_file()
        with disk_errors(f"make {self._contents}"):
            self.folder.mkdir(parents=True, exist_ok=True)
            if not self._contents.exists():
                self._contents.mkdir(mode=0o755, exist_ok=True)
                self._contents.chmod(0o755)
                sync(self.folder)
        self._refuse_missing()

    def _refuse_missing(self) -> None:
        self._refuse_file()
        try:
            ours = stat.S_ISDIR(self._contents.lstat().st_mode)
        except FileNotFoundError:
            raise NotFound(
                f"{self.folder} holds no slots; `herdbook artifacts stage majora:v2 --slot green "
                f"--to {self.folder}` makes them",
                field="to",
            ) from None
        except PermissionError as error:
            raise Invalid(
                f"{self.folder} cannot be looked into: {error.strerror}; ask its owner", field="to"
            ) from None
        if not ours:
            raise Conflict(f"{self._contents} is no folder; move it away", field="to")

    def _refuse_current(self, slot: str) -> None:
        if self._live() == slot:
            others = [name for name in self._names() if name != slot]
            other = others[0] if others else ("green" if slot == "blue" else "blue")
            raise Conflict(
                f"{slot} is current: services read it, so it is not touched; stage into {other} "
                "and switch to that",
                field="slot",
            )

    def _live(self) -> str:
        """Name the slot `current` points at, or ""."""
        target = link_target(self.folder / CURRENT)
        if target is None:
            return ""
        try:
            name = slot_name(target)
            link_target(self.folder / name)
        except (Invalid, Conflict):
            raise Conflict(
                f"{self.folder / CURRENT} points at {target!r:.200}, which was not staged here; "
                "remove that link and switch to a slot",
                field="to",
            ) from None
        return name

    def _names(self) -> list[str]:
        """Name everything that links to a staging of ours."""
        with disk_errors(f"look into {self.folder}"):
            links = [entry.name for entry in os.scandir(self.folder) if entry.is_symlink()]
        return sorted(name for name in links if self._id(name))

    def _id(self, name: str) -> str:
        try:
            target = link_target(self.folder / name)
        except Conflict:
            return ""
        found = _TARGET.match(target or "")
        return found[1] if found else ""

    def _held(self, slot: str) -> Held | None:
        """Give what a slot holds; None where nothing has its name."""
        target = link_target(self.folder / slot)
        if target is None:
            return None
        ours = _TARGET.match(target)
        if ours is None:
            raise Conflict(
                f"{self.folder / slot} points at {target!r:.200}, which was not staged here; "
                "remove that link or choose another slot",
                field="slot",
            )
        place = self._contents / ours[1] / "held.json"
        try:
            text = place.read_text(encoding="utf-8")
        except (OSError, ValueError):
            raise Corrupt(
                f"{place} cannot be read: stage {slot} again, after switching away from it if it "
                "is current"
            ) from None
        # A slot that was renamed by hand goes by its name, not by what is written in it.
        path = str(self.folder / slot)
        return replace(parsed(Held, text, place=str(place)), slot=slot, id=ours[1], path=path)

    def _there(self, slot: str) -> Held:
        found = self._held(slot)
        if found is None:
            there = ", ".join(name for name in self._names()) or "none"
            raise NotFound(
                f"nothing is staged as {slot} in {self.folder}; staged there: {there}",
                field="slot",
            )
        return found

    def _before(self, history: History, live: str) -> Switched:
        found = history.before()
        if found is None:
            raise NotFound(
                f"{self.folder} has no slot before {live or 'the first'}; `herdbook artifacts "
                f"switch --slot NAME --to {self.folder}` points it at any that is staged",
                field="to",
            )
        return found

    def _as_then(self, target: Switched) -> Held:
        """Give what a slot holds, if it is what it held when it was current."""
        held = self._held(target.slot)
        if held and (held.id == target.id or (held.digest and held.digest == target.digest)):
            return held
        now = f"holds {held.version} now" if held else "is gone"
        mends = f"`herdbook artifacts switch --slot {target.slot} --to {self.folder}` serves that"
        raise Conflict(
            f"{target.slot} was current before and held {target.version}, but it {now}; stage "
            f"{target.version} again{f', or {mends}' if held else ''}",
            field="to",
        )

    def _settled(self) -> History:
        """Give the moves that happened, read against the link that tells."""
        try:
            text = self._history.read_text(encoding="utf-8")
        except FileNotFoundError:
            text = '{"moves":[]}'
        except (OSError, ValueError) as error:
            raise Corrupt(f"{self._history} cannot be read: {error}") from None
        history = History.parse(text, place=str(self._history))
        live = self._live()
        held = self._held(live) if live else None
        since = (self.folder / CURRENT).lstat().st_mtime if held else None
        return history.settled(held, datetime.fromtimestamp(since, UTC) if since else None)

    def _move(self, history: History, to: Held, *, was: str, back: int) -> Switched:
        # Written down first: were it the other way round, a crash would lose where back leads.
        moved = history.moved(to, self._clock(), was=was, back=back)
        write_whole(self._history, moved.text, scratch=self._contents)
        point(self.folder / CURRENT, to.slot, scratch=self._contents)
        return moved.moves[-1]

    def _filled(
        self, slot: str, fill: Callable[[Path], object], *, version: str, digest: str
    ) -> Held:
        place = self._contents / secrets.token_hex(8)
        with disk_errors(f"fill {slot} in {self.folder}"):
            place.mkdir(mode=0o755)
            place.chmod(0o755)
            fill(place / "files")
            sizes = list(sealed(place / "files"))
        held = Held(
            slot=slot,
            id=place.name,
            version=version,
            digest=digest,
            files=len(sizes),
            size=sum(sizes),
            at=self._clock(),
            path=str(self.folder / slot),
        )
        write_whole(place / "held.json", wire.dumps(held), scratch=place)
        with disk_errors(f"fill {slot} in {self.folder}"):
            sync(self._contents)
        return held

    def _sweep(self) -> None:
        """Remove what no slot holds; only who has the lock for staging may."""
        kept = {self._id(name) for name in self._names()}
        for entry in list(self._contents.iterdir()):
            if _ID.match(entry.name) and entry.name not in kept:
                shutil.rmtree(entry, ignore_errors=True)
