"""Samples of versions that are watched: recorded like results, never raising, never waiting."""

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from herdbook.core import names
from herdbook.core.sampling import Mark
from herdbook.errors import HerdbookError, Invalid
from herdbook.front.delivering import Marks
from herdbook.front.labelling import Labels
from herdbook.front.references import References
from herdbook.services.folding import OTHER, SampleLabel
from herdbook.services.sampling import as_text
from herdbook.storage.journal import Writer

# Predictions for requests that wait to be sent.
MARKS_LIMIT: Final = 1 << 16

_log = logging.getLogger("herdbook")


class Sampler:
    """Records samples of streams.

    Attributes:
        sample: `sample(label, value, confidence, hour)` records a sample, see `Writer.sample`.
        references: what versions are compared with.

    Args:
        writer: writes into the journal.
        labels: numbers streams.
        references: what versions are compared with.
        marks: predictions for requests that wait to be sent.
        flush: sends what was recorded.
    """

    def __init__(
        self,
        writer: Writer,
        labels: Labels,
        references: References,
        marks: Marks,
        flush: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._labels = labels
        self._marks = marks
        self._flush = flush
        self.references = references
        self.sample: Callable[..., bool] = writer.sample

    def label(self, model: str, number: str, stream: str, *, served: bool = False) -> int:
        """Give the number under which a stream is recorded; 0 for one that can be none."""
        return self._labels.sample(SampleLabel(model, number, stream, None, served))

    def category(
        self, model: str, number: str, stream: str, category: str, *, served: bool = False
    ) -> int:
        """Give the number under which a category of a stream is recorded.

        Of categories that the stream's reference does not name one number does for all; while it
        is not known, the first 250 have one each.
        """
        label = SampleLabel(model, number, stream, category, served)
        watched = self.references.held(model, number)
        reference = watched.references.get(stream) if watched else None
        if reference is None:
            named = len(category) <= names.KEY_LIMIT and self._labels.has_room(label)
        else:
            named = category in reference.categories
        return self._labels.sample(label if named else replace(label, category=OTHER))

    def samples(self, labels: Any, values: Any, confidences: Any = None, hours: Any = None) -> int:
        """Record many samples, and wait while there is no room; gives how many were kept.

        That is all of them, unless the register cannot be reached: what found no room then is
        dropped, and counted.

        Args:
            labels: one for all, or an array.
            values: an array, or any sequence.
            confidences: one for each value, or None.
            hours: one for all, or an array; now when left out.
        """
        done, tried = 0, 0
        while True:
            kept = self._writer.samples(*_from(done, labels, values, confidences, hours))
            done += kept
            # Once more when there was none: other threads may have taken the room.
            tried = 0 if kept else tried + 1
            if done >= len(values):
                return done
            try:
                self._flush()
            except HerdbookError as problem:
                _log.warning("there is no room for %d samples: %s", len(values) - done, problem)
                tried = 2
            if tried > 1:
                self._writer.drop(len(values) - done)
                return done

    def mark(
        self, version: tuple[str, str], request: str, prediction: Any, confidence: float | None
    ) -> None:
        """Remember what was predicted for a request until the next samples are sent.

        It waits in memory, for at most a quarter of a second where the register is well: a process
        that is killed meanwhile loses it, and never a count.
        """
        if len(self._marks) >= MARKS_LIMIT:
            return
        sure = None
        with suppress(TypeError, ValueError):
            # JSON has no NaN and no infinity.
            sure = float(confidence) if confidence is not None else None
            sure = sure if sure is not None and math.isfinite(sure) else None
        try:
            text = names.line(_text(prediction), field="prediction", limit=names.KEY_LIMIT)
            request = names.line(str(request), field="request", limit=names.KEY_LIMIT)
        except Invalid as wrong:
            _log.warning("a prediction is kept for no request: %s", wrong)
            return
        self._marks.append((version, Mark(request=request, prediction=text, confidence=sure)))


def _text(prediction: Any) -> str:
    if isinstance(prediction, float):
        return as_text(float(prediction))
    return str(prediction)


def _from(at: int, *parts: Any) -> list[Any]:
    return [part[at:] if at and hasattr(part, "__len__") else part for part in parts]
