"""Compare a target with its source, and mend what differs: writers may have passed Herdbook by."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from herdbook.core import stamps
from herdbook.core.migrations import Migration, Outcome
from herdbook.core.stamps import Metadata
from herdbook.core.vectors import Batch, Vectors
from herdbook.front.moving.carrying import Carrier, picked

AT_ONCE: Final = 2_000

Tick = Callable[[int], None]


def silent(documents: int) -> None:
    """Say nothing."""


@dataclass(slots=True, kw_only=True)
class Differences:
    """How a target differs from its source, in ids.

    Args:
        missing: that are in the source only, and were not set aside.
        changed: whose text or metadata in the source is not what the target was made from.
        gone: that are in the target only.
        compared: how many of the source were looked at.
    """

    missing: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    compared: int = 0

    @property
    def count(self) -> int:
        """How many documents differ."""
        return len(self.missing) + len(self.changed) + len(self.gone)


@dataclass(slots=True, kw_only=True)
class CaughtUp:
    """What was mended.

    Args:
        carried: documents that were missing, or had changed.
        removed: documents that were no longer in the source.
        outcomes: of those that were carried.
        back: ids that were set aside before and are not any more.
    """

    carried: int = 0
    removed: int = 0
    outcomes: list[Outcome] = field(default_factory=list)
    back: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many documents were touched."""
        return self.carried + self.removed


class Comparison:
    """Source and target of a migration, compared piece by piece in bounded memory.

    Args:
        store: holds both.
        migration: whose.
        aside: ids that were set aside.
    """

    def __init__(self, store: Vectors, migration: Migration, aside: set[str]) -> None:
        self._store = store
        self._source = migration.source.place
        self._target = migration.target.place
        self._aside = aside

    def differences(self, *, tick: Tick = silent) -> Differences:
        """Say what differs, and change nothing; documents that were set aside are not missing."""
        found = Differences()
        for batch, there in self._pairs():
            missing, changed = self._sorted(batch, there)
            found.missing += [batch.ids[at] for at in missing if batch.ids[at] not in self._aside]
            found.changed += [batch.ids[at] for at in changed]
            found.compared += len(batch)
            tick(len(batch))
        for orphans in self._orphans():
            found.gone += orphans.ids
        return found

    def still(self, found: Differences) -> Differences:
        """Look again at what differed: a live write may have been half done then."""
        again = Differences(compared=found.compared)
        for ids in _pieces([*found.missing, *found.changed]):
            batch = self._store.fetch(self._source, ids)
            there = self._store.fetch(self._target, batch.ids)
            held = dict(zip(there.ids, there.metadata, strict=True))
            missing, changed = self._sorted(batch, held)
            again.missing += [batch.ids[at] for at in missing]
            again.changed += [batch.ids[at] for at in changed]
        for ids in _pieces(found.gone):
            left = set(self._store.fetch(self._source, ids).ids)
            again.gone += [id for id in self._store.fetch(self._target, ids).ids if id not in left]
        return again

    def mend(self, carrier: Carrier, *, embeds: bool, tick: Tick = silent) -> CaughtUp:
        """Carry what is missing or has changed, and remove what is no longer in the source.

        A document a live writer changed since it was looked at stays as that left it.
        """
        done = CaughtUp()
        for batch, there in self._pairs():
            missing, changed = self._sorted(batch, there)
            done.back += self._written_since(batch, there, changed)
            for at in changed:
                id = batch.ids[at]
                self._store.delete(self._target, [id], write=_write(there[id]))
            todo = sorted([*missing, *changed])
            if todo:
                wanted = picked(batch, todo)
                if not embeds:
                    # Vectors are read of those few alone.
                    wanted = self._store.fetch(self._source, wanted.ids, vectors=True)
                outcome = carrier.carry(wanted)
                done.carried += outcome.written
                done.outcomes.append(outcome)
                refused = {each.id for each in outcome.set_aside}
                done.back += [
                    batch.ids[at]
                    for at in todo
                    if batch.ids[at] in self._aside and batch.ids[at] not in refused
                ]
            tick(len(batch))
        for orphans in self._orphans():
            for id, metadata in zip(orphans.ids, orphans.metadata, strict=True):
                self._store.delete(self._target, [id], write=_write(metadata))
            done.removed += len(orphans)
        return done

    def _written_since(
        self, batch: Batch, there: dict[str, Metadata], changed: list[int]
    ) -> list[str]:
        """Give what was set aside, and a live writer has written to both places since."""
        other = {batch.ids[at] for at in changed}
        return [id for id in batch.ids if id in self._aside and id in there and id not in other]

    def _pairs(self) -> Iterator[tuple[Batch, dict[str, Metadata]]]:
        for within in self._store.ranges(self._source, size=AT_ONCE):
            batch = self._store.read(self._source, within)
            there = self._store.fetch(self._target, batch.ids)
            yield batch, dict(zip(there.ids, there.metadata, strict=True))

    def _sorted(self, batch: Batch, there: dict[str, Metadata]) -> tuple[list[int], list[int]]:
        """Give the places of those that are missing, and of those that changed."""
        missing, changed = [], []
        for at, (id, text, metadata) in enumerate(
            zip(batch.ids, batch.texts, batch.metadata, strict=True)
        ):
            held = there.get(id)
            if held is None:
                missing.append(at)
            elif held.get(stamps.CONTENT) != stamps.content_digest(text, metadata):
                changed.append(at)
        return missing, changed

    def _orphans(self) -> Iterator[Batch]:
        """Give what is in the target only, with its stamps."""
        if self._source.collection == self._target.collection:
            return  # another field of the same documents
        for within in self._store.ranges(self._target, size=AT_ONCE):
            batch = self._store.read(self._target, within)
            there = set(self._store.fetch(self._source, batch.ids).ids)
            places = [at for at, id in enumerate(batch.ids) if id not in there]
            if places:
                yield picked(batch, places)


def _pieces(ids: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(ids), AT_ONCE):
        yield ids[at : at + AT_ONCE]


def _write(metadata: Metadata) -> str:
    return str(metadata.get(stamps.WRITE) or "")
