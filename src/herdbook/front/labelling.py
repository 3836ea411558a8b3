"""The numbers under which arms, and metrics beside their results, are recorded."""

import threading
from collections.abc import Callable, Sequence
from typing import Final

from herdbook.core import names
from herdbook.core.experiments import BUILT_IN, experiment_name
from herdbook.core.recording import METRICS_LIMIT
from herdbook.errors import Invalid
from herdbook.services.folding import Label
from herdbook.storage.journal import Journal

LABELS_LIMIT: Final = 1 << 16


class Labels:
    """Numbers labels as they come, for a process; its journal knows a label before it is used.

    Attributes:
        known: what numbers mean; 0 means nothing.

    Args:
        say: told of what cannot be recorded.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._numbers: dict[tuple[str, int, str, str], int] = {}
        self._metrics: dict[tuple[str, int, str], int] = {}
        self.known = [Label("", 0, "")]
        self.forget()

    def forget(self) -> None:
        """Be in no journal any more, in the child of a fork; numbers stay what they are."""
        self._lock = threading.RLock()
        self._numbering = False
        self._journal: Journal | None = None

    def number(self, experiment: str, phase: int, arm: str, metric: str = "") -> int:
        """Give the number of a label; 0 for one that cannot be."""
        found = self._numbers.get((experiment, phase, arm, metric))
        return self._new(Label(experiment, phase, arm, metric)) if found is None else found

    def beside(self, label: int, metric: str) -> int:
        """Give the number of a metric beside the results of an arm."""
        try:
            arm = self.known[max(0, label)]
            return self.number(arm.experiment, arm.phase, arm.arm, metric)
        except (IndexError, TypeError):
            return 0

    def journal(self, make: Callable[[Sequence[Label]], Journal]) -> Journal:
        """Make a journal that knows all there are now, and keep in it all that come."""
        with self._lock:
            self._journal = make(self.known[1:])
            return self._journal

    def end(self) -> None:
        """Keep what comes in no journal any more."""
        with self._lock:
            self._journal = None

    def _new(self, label: Label) -> int:
        key, wrong = (label.experiment, label.phase, label.arm, label.metric), ""
        with self._lock:
            # A signal's handler that comes meanwhile must not number labels out of their order.
            if key in self._numbers or self._numbering:
                return self._numbers.get(key, 0)
            self._numbering = True
            try:
                wrong = self._wrong(label)
                # Remembered as 0 when it is wrong, or each result would have it checked again.
                if len(self._numbers) < 2 * LABELS_LIMIT:
                    self._numbers[key] = 0 if wrong else len(self.known)
                if not wrong:
                    self.known.append(label)
            finally:
                self._numbering = False
        if wrong:
            self._say(f"what is recorded as {key!r:.200} is dropped: {wrong}")
        return self._numbers.get(key, 0)

    def _wrong(self, label: Label) -> str:
        """Say what is wrong with a label; when nothing is, the journal has it."""
        try:
            _check(label)
        except Invalid as wrong:
            return str(wrong)
        arm = (label.experiment, label.phase, label.arm)
        if label.metric and self._metrics.get(arm, 0) >= METRICS_LIMIT - len(BUILT_IN):
            return "the arm has too many metrics"
        full = self._journal is not None and not self._journal.add_label(label)
        if full or len(self.known) >= LABELS_LIMIT:
            return "there are too many arms and metrics for one process"
        if label.metric:
            self._metrics[arm] = self._metrics.get(arm, 0) + 1
        return ""


def _check(label: Label) -> None:
    experiment_name(label.experiment)
    names.key(label.arm, field="arm")
    if type(label.phase) is not int or label.phase < 1:
        raise Invalid("phases are numbered from 1 on", field="phase")
    if label.metric:
        names.key(label.metric, field="metric")
    if label.metric in BUILT_IN:
        raise Invalid(f"{label.metric} is recorded of every result", field="metric")
