"""Bring what a journal holds to the register, each delta once, whoever is killed meanwhile.

Before a delta is sent the journal says which records are in it, and under which number it goes.
Whoever takes the journal over sends the same records under the same number, and the register,
which takes each number once, has them once.
"""

import logging
import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

from herdbook.core.recording import Delta, Folded
from herdbook.core.sampling import Mark
from herdbook.errors import Invalid, TooLarge
from herdbook.front.door import Door
from herdbook.front.references import References, Version
from herdbook.services import columns, sampling
from herdbook.services.folding import Fold, Meaning, Seen, fold
from herdbook.storage.journal import Journal, orphans

# Records in one delta: what the register is asked to take in at once.
LIMIT: Final = 1 << 15
# The same of samples alone, which come to counts in bins however many they are.
SAMPLES_LIMIT: Final = 1 << 18

Marks = deque[tuple[Version, Mark]]

_log = logging.getLogger("herdbook")


class Delivery:
    """Brings the records of one journal to the register.

    Args:
        door: the register.
        journal: held by this process.
        labels: what labels mean, as known by whoever writes; may grow.
        references: what sampled versions are compared with.
        marks: predictions for requests, taken along with the next samples.
    """

    def __init__(
        self,
        door: Door,
        journal: Journal,
        labels: Sequence[Meaning],
        references: References,
        marks: "Marks | None" = None,
    ) -> None:
        self._door = door
        self._journal = journal
        self._labels = labels
        self._references = references
        self._marks: Marks = deque() if marks is None else marks
        self._seen = Seen()
        self._waiting: tuple[Fold, Delta] | None = None

    def run(self, end: int, *, died: bool = False) -> None:
        """Send all there is up to a place.

        Args:
            end: up to where every record is there.
            died: whether nobody will write more; calls that were on their way are lost.

        Raises:
            HerdbookError: the register cannot take it now; nothing is lost.
            Invalid, TooLarge: it never will; what it refused is counted as dropped.
        """
        journal = self._journal
        self._send()
        while journal.state.tail < end or journal.state.dropped < journal.dropped or died:
            to = self._next(end)
            last = died and to == end
            self._prepare(to, died=last)
            self._send()
            if last:
                return

    def _next(self, end: int) -> int:
        """Give the end of the next delta."""
        tail = self._journal.state.tail
        far = min(end, tail + SAMPLES_LIMIT)
        if far - tail > LIMIT and all(map(columns.are_samples, self._journal.pieces(tail, far))):
            return far
        return min(far, tail + LIMIT)

    def _prepare(self, to: int, *, died: bool) -> None:
        state, dropped = self._journal.state, self._journal.dropped
        found = self._fold(to, died=died)
        if found.recorded or found.sampled or found.unknown or dropped > state.dropped:
            self._journal.commit(state.sending(to, dropped=dropped, died=died))
            self._waiting = found, self._delta(found)
        else:
            self._journal.commit(state.moved(to, found.opened))

    def _fold(self, to: int, *, died: bool) -> Fold:
        state = self._journal.state
        results, samples = columns.split(self._journal.pieces(state.tail, to))
        # First, for the register may be away: folding results changes which units were seen.
        sampled = self._fold_samples(samples)
        found = fold(
            results,
            self._labels,
            start=state.tail,
            opened=state.opened,
            seen=self._seen,
            died=died and not self._journal.ended,
        )
        unknown = found.unknown + sampled.unknown
        return replace(found, sampled=sampled.sampled, unknown=unknown)

    def _fold_samples(self, samples: bytes) -> sampling.Samples:
        marks = list(islice(self._marks, LIMIT))
        found = sampling.folded(samples, self._labels, self._references, marks=marks)
        self._references.left_out.update(found.left_out)
        for _ in marks:
            self._marks.popleft()
        return found

    def _delta(self, found: Fold) -> Delta:
        state = self._journal.state
        dropped = state.dropped_to - state.dropped
        return found.delta(self._journal.worker, state.sequence + 1, dropped=dropped)

    def _send(self) -> None:
        """Send the delta that may be on its way already, if there is one."""
        state = self._journal.state
        if not state.is_sending:
            return
        if self._waiting is None:
            found = self._fold(state.to, died=state.died)
            self._waiting = found, self._delta(found)
        found, delta = self._waiting
        try:
            told = self._door.call(Folded, "experiments.fold", delta=delta)
        except (Invalid, TooLarge) as refusal:
            self._give_up(delta, refusal)
            self._journal.commit(state.skipped(found.opened))
            self._waiting = None
            raise
        self._journal.commit(state.sent(found.opened))
        self._waiting = None
        self._references.stale(told.stale)

    def _give_up(self, delta: Delta, refusal: Exception) -> None:
        """Count as dropped what the register will never take, so that the rest goes on."""
        count = sum(arm.results + arm.lost for each in delta.recorded for arm in each.arms)
        count += sum(each.values for each in delta.sampled)
        self._journal.drop(count)
        _log.error("the register refuses %d recorded results: %s", count, refusal)


def deliver_orphans(
    door: Door, folder: Path, references: References, *, owner: Mapping[str, str]
) -> int:
    """Send what dead processes left in a folder; gives how many journals that were.

    Raises:
        HerdbookError: the register cannot take it now; nothing is lost.
    """
    count = 0
    for journal in orphans(folder, owner=owner):
        try:
            delivery = Delivery(door, journal, journal.labels(), references)
            delivery.run(journal.last(), died=True)
            journal.remove()
        except (Invalid, TooLarge):
            _log.warning("a journal is set aside as %s", journal.set_aside())
        count += 1
    return count


def owner_of(door: Door, identity: str) -> dict[str, str]:
    """Say whose a journal is: of the same register from every folder, and of the same person."""
    address = door.address
    scheme, slashes, path = address.partition(":///")
    if scheme == "sqlite" and slashes:
        file, mark, rest = path.partition("?")
        address = f"{scheme}:///{os.path.realpath(file)}{mark}{rest}"
    return {"address": address, "identity": identity}
