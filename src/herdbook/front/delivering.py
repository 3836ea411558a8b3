"""Bring what a journal holds to the register, each delta once, whoever is killed meanwhile.

Before a delta is sent the journal says which records are in it, and under which number it goes.
Whoever takes the journal over sends the same records under the same number, and the register,
which takes each number once, has them once.
"""

import logging
from collections.abc import Sequence
from typing import Final

from herdbook.core.recording import Delta, Folded
from herdbook.errors import Invalid, TooLarge
from herdbook.front.door import Door
from herdbook.services.folding import Fold, Label, Seen, fold
from herdbook.storage.journal import Journal

# Records in one delta: what the register is asked to take in at once.
LIMIT: Final = 1 << 15

_log = logging.getLogger("herdbook")


class Delivery:
    """Brings the records of one journal to the register.

    Args:
        door: the register.
        journal: held by this process.
        labels: what labels mean, as known by whoever writes; may grow.
    """

    def __init__(self, door: Door, journal: Journal, labels: Sequence[Label]) -> None:
        self._door = door
        self._journal = journal
        self._labels = labels
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
            to = min(end, journal.state.tail + LIMIT)
            last = died and to == end
            self._prepare(to, died=last)
            self._send()
            if last:
                return

    def _prepare(self, to: int, *, died: bool) -> None:
        state, dropped = self._journal.state, self._journal.dropped
        found = self._fold(to, died=died)
        if found.recorded or found.unknown or dropped > state.dropped:
            self._journal.commit(state.sending(to, dropped=dropped, died=died))
            self._waiting = found, self._delta(found)
        else:
            self._journal.commit(state.moved(to, found.opened))

    def _fold(self, to: int, *, died: bool) -> Fold:
        state = self._journal.state
        return fold(
            self._journal.records(state.tail, to),
            self._labels,
            start=state.tail,
            opened=state.opened,
            seen=self._seen,
            died=died and not self._journal.ended,
        )

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
            self._door.call(Folded, "experiments.fold", delta=delta)
        except (Invalid, TooLarge) as refusal:
            self._give_up(delta, refusal)
            self._journal.commit(state.skipped(found.opened))
            self._waiting = None
            raise
        self._journal.commit(state.sent(found.opened))
        self._waiting = None

    def _give_up(self, delta: Delta, refusal: Exception) -> None:
        """Count as dropped what the register will never take, so that the rest goes on."""
        count = sum(arm.results + arm.lost for each in delta.recorded for arm in each.arms)
        self._journal.drop(count)
        _log.error("the register refuses %d recorded results: %s", count, refusal)
