"""Deliveries that are careless in one thing each: what a test of kills has to find out."""

import time
from uuid import uuid4

from herdbook.core.recording import Delta, Folded
from herdbook.front.delivering import Delivery
from herdbook.services.folding import Fold


class TailFirst(Delivery):
    """Takes what it is about to send for sent."""

    def _send(self) -> None:
        journal = self._journal
        if self._waiting is not None and journal.state.is_sending:
            found, delta = self._waiting
            journal.commit(journal.state.sent(found.opened))
            time.sleep(0.02)
            self._door.call(Folded, "experiments.fold", delta=delta)
            self._waiting = None


class FreshName(Delivery):
    """Sends every delta under a number that is new."""

    def _delta(self, found: Fold) -> Delta:
        return found.delta(f"w{uuid4().hex}", 1, dropped=0)
