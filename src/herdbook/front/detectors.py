"""Drift detectors: reference samples in, production samples in, a score out."""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace as changed
from datetime import UTC, datetime
from typing import Any, Final, Self, SupportsFloat, cast

from herdbook.core.drift import CONFIDENCE, PREDICTION, Level, Report, Standing, Status, Watched
from herdbook.core.sampling import HOUR_SECONDS
from herdbook.core.wire import plain
from herdbook.errors import Conflict, HerdbookError, Invalid
from herdbook.front.door import Door
from herdbook.front.drift import number, reference
from herdbook.front.sampling import Sampler
from herdbook.services.references import LEAST_VALUES, accuracies

# Reference samples that one process holds until it freezes them.
REFERENCE_LIMIT: Final = 1_000_000
_HOURS: Final = 1 << 32

_log = logging.getLogger("herdbook")

At = datetime | float
Prediction = SupportsFloat | str | None


class DriftScore(float):
    """A score, 0 to 1, that also says what it is worth.

    Attributes:
        status: whether anything can be said; the score is 0 where nothing can.
        level: by the score, with hysteresis.
    """

    __slots__ = ("level", "status")

    status: Status
    level: Level

    def __new__(cls, score: float, status: Status, level: Level) -> Self:
        """Make one."""
        found = super().__new__(cls, score)
        found.status, found.level = status, level
        return found

    def __getnewargs__(self) -> tuple[Any, ...]:
        return float(self), self.status, self.level


class DriftDetector:
    """Tells whether a version still sees the world it was trained for.

    Samples of production go into this process's journal and are counted by the register, together
    with those of all other processes; recording never waits and never raises for what is recorded.

    Attributes:
        model: its model.
        number: the version's.

    Args:
        door: the register.
        sampler: records samples.
        flush: sends what was recorded.
        model: its model.
        number: the version's.
    """

    def __init__(
        self, door: Door, sampler: Sampler, flush: Callable[[], None], model: str, number: str
    ) -> None:
        self._door = door
        self._sampler = sampler
        self._flush = flush
        self.model = model
        self.number = number
        self._sample = sampler.sample
        self._label = sampler.label(model, number, PREDICTION)
        self._labels: dict[tuple[str, str | None], int] = {(PREDICTION, None): self._label}
        self._lock = threading.RLock()
        self._waiting: dict[str, tuple[list[Any], list[int]]] = {}
        self._answers: list[tuple[float, bool]] = []
        self._refused = 0

    @property
    def ref(self) -> str:
        """The version, such as `gnn:v2.1.0`."""
        return f"{self.model}:{self.number}"

    # --- the reference ---

    def add_reference_sample(
        self,
        prediction: Prediction,
        confidence: float | None = None,
        *,
        at: At | None = None,
        correct: bool | None = None,
        **features: Any,
    ) -> None:
        """Add what the version said while all was well; it waits here until it is frozen.

        Args:
            prediction: a number, or a category as text.
            confidence: how sure the version was, 0 to 1.
            at: when, as a time or in seconds since 1970; now when left out.
            correct: whether the prediction was right: then the accuracy can be estimated later
                from confidences alone.
            features: any other numbers or categories, by name.
        """
        values = {PREDICTION: prediction, **features}
        if confidence is not None:
            values[CONFIDENCE] = confidence
        hour = _hour(datetime.now(UTC) if at is None else at)
        with self._lock:
            self._make_room(1)
            for name, value in values.items():
                held = self._waiting.setdefault(name, ([], []))
                held[0].append(value)
                held[1].append(hour)
            if correct is not None and confidence is not None:
                self._answers.append((number(confidence), bool(correct)))

    def add_reference_samples(
        self,
        predictions: Collection[Any],
        confidences: Collection[float] | None = None,
        *,
        at: Any = None,
        correct: Collection[bool] | None = None,
        **features: Collection[Any],
    ) -> None:
        """Add many at once, from arrays or other sequences of the same length."""
        given = {PREDICTION: predictions, CONFIDENCE: confidences, **features}
        columns = {name: _listed(held) for name, held in given.items() if held is not None}
        right = None if correct is None else _listed(correct)
        count = _length({**columns, **({} if right is None else {"correct": right})})
        hours = _hours(at, count, otherwise=_hour(datetime.now(UTC)))
        every = _listed(hours) if hasattr(hours, "__len__") else [hours] * count
        with self._lock:
            self._make_room(count)
            for name, values in columns.items():
                held = self._waiting.setdefault(name, ([], []))
                held[0].extend(values)
                held[1].extend(every)
            if right is not None and CONFIDENCE in columns:
                self._answers += [
                    (number(sure), bool(was))
                    for sure, was in zip(columns[CONFIDENCE], right, strict=True)
                ]

    def _make_room(self, count: int) -> None:
        held = self._waiting.get(PREDICTION)
        if held is not None and len(held[0]) + count > REFERENCE_LIMIT:
            raise Invalid(
                f"more than {REFERENCE_LIMIT:,} reference samples wait to be frozen; freeze() them "
                "now: more make no better reference",
                field="prediction",
            )

    def freeze(self, *, replace: bool = False) -> Watched:
        """Make references of the samples that wait, and watch the version from now on.

        References never change: to freeze the same ones again, as each process may, does nothing.
        The first production sample does this too when 20 reference samples wait, as does asking for
        the drift.

        Args:
            replace: take the place of other references; what was counted by those is removed.

        Raises:
            Conflict: other references are frozen already; those that waited are let go.
            Invalid: there are fewer than 20 samples.
        """
        with self._lock:
            if not self._waiting:
                raise Invalid(
                    f"no reference samples of {self.ref} wait here: add_reference_sample() first",
                    field="prediction",
                )
            return self._frozen(replace=replace)

    def _frozen(self, *, replace: bool) -> Watched:
        references = {name: reference(*held, of=name) for name, held in self._waiting.items()}
        if self._answers:
            by_tenth = accuracies(*zip(*self._answers, strict=True))
            references[CONFIDENCE] = changed(references[CONFIDENCE], accuracy=by_tenth)
        try:
            found = self._door.call(
                Watched, "drift.watch", ref=self.ref, references=references, replace=replace
            )
        except Conflict:
            self._waiting, self._answers = {}, []
            raise
        self._waiting, self._answers = {}, []
        self._sampler.references.put(found)
        return found

    def _freeze_waiting(self, *, asked: bool = False) -> None:
        """Freeze what waits when that is enough; what is too little waits for more.

        What hinders it is said, once for the same samples: a service goes on without. Only who asks
        for the drift is told with an error that other references are frozen.
        """
        with self._lock:
            held = self._waiting.get(PREDICTION)
            count = 0 if held is None else len(held[0])
            if count < LEAST_VALUES or count == self._refused:
                return
            try:
                self._frozen(replace=False)
            except HerdbookError as problem:
                if asked and isinstance(problem, Conflict):
                    raise
                self._refused = count
                _log.warning("the reference of %s is not frozen: %s", self.ref, problem)

    # --- production ---

    def add_production_sample(
        self,
        prediction: Prediction,
        confidence: float | None = None,
        *,
        at: At | None = None,
        request: str | None = None,
        **features: Any,
    ) -> bool:
        """Add what the version says now; gives whether there was room.

        What is NaN, infinite, None or no number where numbers are expected counts as missing,
        which is told of too.

        Args:
            prediction: a number, or a category as text.
            confidence: how sure the version was, 0 to 1.
            at: when, as a time or in seconds since 1970; now when left out.
            request: the id of the request, to tell its true answer later with `book.drift.label`.
                It waits in memory for a moment, so that a process that is killed may lose it; what
                is counted is not lost.
            features: those the reference has, by name.
        """
        if self._waiting:
            self._freeze_waiting()
        if prediction.__class__ is float and at is None and request is None and not features:
            return self._sample(self._label, prediction, confidence)
        hour = None if at is None else _hour(at)
        if request is not None:
            self._sampler.mark((self.model, self.number), request, prediction, confidence)
        kept = self._one(PREDICTION, prediction, confidence, hour)
        for name, value in features.items():
            kept = self._one(name, value, None, hour) and kept
        return kept

    def _one(self, stream: str, value: Any, confidence: float | None, hour: int | None) -> bool:
        if isinstance(value, str):
            return self._sample(self._label_of(stream, str(value)), 0.0, confidence, hour)
        return self._sample(self._label_of(stream, None), value, confidence, hour)

    def _label_of(self, stream: str, category: str | None) -> int:
        found = self._labels.get((stream, category))
        if found is not None:
            return found
        if category is None:
            found = self._sampler.label(self.model, self.number, stream)
            self._labels[stream, None] = found
            return found
        # Not remembered here: there may be any number of them.
        return self._sampler.category(self.model, self.number, stream, category)

    def add_production_samples(
        self,
        predictions: Collection[Any],
        confidences: Collection[float] | None = None,
        *,
        at: Any = None,
        **features: Collection[Any],
    ) -> int:
        """Add many at once, from arrays or other sequences of the same length.

        Where the journal is full this waits until the register has some of it.

        Args:
            predictions: numbers, or categories as text.
            confidences: one for each.
            at: when: one time for all, or an array of times, in seconds or as `datetime64`.
            features: those the reference has, by name.

        Returns:
            How many predictions were kept: all, unless the register could not be reached.
        """
        if self._waiting:
            self._freeze_waiting()
        given = {"confidences": confidences, **features}
        held = {name: each for name, each in given.items() if each is not None}
        count = _length({PREDICTION: predictions, **held})
        hours = _hours(at, count, otherwise=None)
        kept = self._many(PREDICTION, predictions, confidences, hours)
        for name, values in features.items():
            self._many(name, values, None, hours)
        return kept

    def _many(self, stream: str, values: Any, confidences: Any, hours: Any) -> int:
        label: Any = self._label_of(stream, None)
        if _has_texts(values):
            held = _listed(values)
            label = [self._label_of(stream, v if isinstance(v, str) else None) for v in held]
            values = [0.0 if isinstance(value, str) else value for value in held]
        return self._sampler.samples(label, values, confidences, hours)

    # --- what is said ---

    def detect_drift(self) -> DriftScore:
        """Send what was recorded, and give the score: 0 to 1, never NaN.

        It is 0 while nothing can be said, with the `status` `insufficient_data` or `no_reference`.

        Raises:
            Conflict: reference samples waited, and others are frozen already.
            HerdbookError: the register cannot be reached.
        """
        self._refused = 0
        self._freeze_waiting(asked=True)
        self._flush()
        found = self._door.call(Standing, "drift.standing", ref=self.ref)
        return DriftScore(found.score or 0.0, found.status, found.level)

    def report(self, *, language: str = "en") -> Report:
        """Send what was recorded, and tell how the version's drift stands.

        Args:
            language: of the recommendation: `en`, `ru` or `de`.
        """
        self._refused = 0
        self._freeze_waiting(asked=True)
        self._flush()
        return self._door.call(Report, "drift.report", ref=self.ref, language=language)

    def get_drift_report(self, *, language: str = "en") -> dict[str, Any]:
        """Send what was recorded, and tell how the version's drift stands, as plain values.

        First `status, current_drift_score, avg_drift_7d, alert_triggered, recommendation`, then
        the rest of `core.drift.Report`. Both scores are 0.0 while there is none; `status` says so.
        """
        said: dict[str, Any] = plain(self.report(language=language))
        first = ("status", "current_drift_score", "avg_drift_7d", "alert_triggered")
        found = {name: said[name] for name in (*first, "recommendation")}
        for name in first[1:3]:
            found[name] = found[name] or 0.0
        return found | {name: value for name, value in said.items() if name not in found}


def _hour(at: At) -> int:
    """The hour since 1970, in UTC, of a time; one without a zone is UTC."""
    if isinstance(at, datetime):
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    try:
        hour = int(at // HOUR_SECONDS)
    except (TypeError, ValueError, OverflowError):
        hour = -1
    if not 0 <= hour < _HOURS:
        raise Invalid(f"{at!r:.60} is no time: give a datetime or seconds since 1970", field="at")
    return hour


def _hours(at: Any, count: int, *, otherwise: int | None) -> Any:
    """Give the hours of many samples: one for all, or one for each."""
    if at is None:
        return otherwise
    if isinstance(at, datetime | float | int):
        return _hour(at)
    if getattr(getattr(at, "dtype", None), "kind", "") == "M":
        at = at.astype("datetime64[s]").astype("i8")
    _length({PREDICTION: range(count), "at": at})
    return [_hour(each) for each in _listed(at)]


def _length(columns: Mapping[str, Any]) -> int:
    sizes = {name: len(values) for name, values in columns.items()}
    count = sizes[PREDICTION]
    for name, size in sizes.items():
        if size != count:
            raise Invalid(f"there are {count} predictions and {size} of {name}", field=name)
    return count


def _has_texts(values: Any) -> bool:
    kind = getattr(getattr(values, "dtype", None), "kind", "O")
    return kind in "UOT" and any(isinstance(value, str) for value in values)


def _listed(values: Iterable[Any]) -> list[Any]:
    return cast(list[Any], values.tolist()) if hasattr(values, "tolist") else list(values)
