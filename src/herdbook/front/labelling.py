"""The numbers under which arms, metrics beside their results, and samples are recorded."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Any, Final

from herdbook.core import names
from herdbook.core.experiments import BUILT_IN, experiment_name
from herdbook.core.recording import METRICS_LIMIT
from herdbook.core.references import CATEGORIES_LIMIT
from herdbook.core.sampling import STREAMS_LIMIT
from herdbook.errors import Invalid
from herdbook.services.folding import OTHER, Label, Meaning, SampleLabel
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
        self._numbers: dict[tuple[Any, ...], int] = {}
        # How many there are of what there may only be so many of.
        self._counts: Counter[tuple[Any, ...]] = Counter()
        self.known: list[Meaning] = [Label("", 0, "")]
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

    def sample(self, label: SampleLabel) -> int:
        """Give the number of a stream's label; 0 for one that cannot be."""
        key = label.model, label.number, label.stream, label.category, label.served
        found = self._numbers.get(key)
        return self._new(label) if found is None else found

    def has_room(self, label: SampleLabel) -> bool:
        """Whether a stream may have one more category that its reference may not know."""
        return self._counts[_stream(label)] < CATEGORIES_LIMIT

    def beside(self, label: int, metric: str) -> int:
        """Give the number of a metric beside the results of an arm."""
        try:
            arm = self.known[max(0, label)]
            return self.number(arm.experiment, arm.phase, arm.arm, metric)  # type: ignore[union-attr]
        except (IndexError, TypeError, AttributeError):
            return 0

    def journal(self, make: Callable[[Sequence[Meaning]], Journal]) -> Journal:
        """Make a journal that knows all there are now, and keep in it all that come."""
        with self._lock:
            self._journal = make(self.known[1:])
            return self._journal

    def end(self) -> None:
        """Keep what comes in no journal any more."""
        with self._lock:
            self._journal = None

    def _new(self, label: Meaning) -> int:
        key, wrong = astuple(label), ""
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

    def _wrong(self, label: Meaning) -> str:
        """Say what is wrong with a label; when nothing is, the journal has it."""
        sample = isinstance(label, SampleLabel)
        try:
            _check_sample(label) if sample else _check(label)  # type: ignore[arg-type]
        except Invalid as wrong:
            return str(wrong)
        of, most, why = _limit(label)
        if of and self._counts[of] >= most:
            return why
        full = self._journal is not None and not self._journal.add_label(label)
        if full or len(self.known) >= LABELS_LIMIT:
            return "there are too many arms, metrics and streams for one process"
        if of:
            self._counts[of] += 1
        return ""


def _limit(label: Meaning) -> tuple[tuple[Any, ...], int, str]:
    """Give of what a label is one more, how many there may be, and what to say of too many."""
    if isinstance(label, SampleLabel):
        if label.category is not None:
            # Those of the references beside those that came before these were known.
            most = 2 * CATEGORIES_LIMIT + 1
            return _stream(label), most, "the stream has too many categories"
        return (label.model, label.number), 2 * STREAMS_LIMIT, "the version has too many streams"
    if label.metric:
        most = METRICS_LIMIT - len(BUILT_IN)
        return (label.experiment, label.phase, label.arm), most, "the arm has too many metrics"
    return (), 0, ""


def _stream(label: SampleLabel) -> tuple[str, str, str, bool]:
    return label.model, label.number, label.stream, label.served


def _check_sample(label: SampleLabel) -> None:
    names.line(label.model, field="model", limit=names.MODEL_NAME_LIMIT)
    names.line(label.number, field="number", limit=names.KEY_LIMIT)
    names.key(label.stream, field="stream")
    if label.category not in (None, OTHER) and len(str(label.category)) > names.LINE_LIMIT:
        raise Invalid("a category is at most 500 characters long", field="category")


def _check(label: Label) -> None:
    experiment_name(label.experiment)
    names.key(label.arm, field="arm")
    if type(label.phase) is not int or label.phase < 1:
        raise Invalid("phases are numbered from 1 on", field="phase")
    if label.metric:
        names.key(label.metric, field="metric")
    if label.metric in BUILT_IN:
        raise Invalid(f"{label.metric} is recorded of every result", field="metric")
