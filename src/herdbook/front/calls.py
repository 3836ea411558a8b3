"""Calls of versions that experiments compare: who gets which, how long it took, how it went.

Nothing here raises because of what is recorded, and nothing waits: see `front.recording`.
"""

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from time import perf_counter_ns
from types import TracebackType
from typing import Any, Final, Self

from herdbook.core.assignment import Assignment, Attributes
from herdbook.core.drift import CONFIDENCE, PREDICTION
from herdbook.core.units import Unit, hash_of
from herdbook.errors import HerdbookError
from herdbook.front.assigning import Assigner, forget, last
from herdbook.front.recording import Recorder

_MILLISECOND: Final = 1e-6
_SERVER_ERROR: Final = 500
# What ends a call without telling anything about the version.
_ENDINGS: Final = frozenset(
    {
        "Cancelled",
        "CancelledError",
        "ClientDisconnect",
        "GeneratorExit",
        "KeyboardInterrupt",
        "SystemExit",
    }
)

Kind = type[BaseException] | None
Raised = BaseException | None
Trace = TracebackType | None


class Calls:
    """Serves units, and records how their calls went.

    Args:
        assigner: gives units their versions.
        recorder: where results go.
    """

    def __init__(self, assigner: Assigner, recorder: Recorder) -> None:
        self.assigner = assigner
        self.recorder = recorder
        self._labels: dict[tuple[str, int, str], int] = {}
        self._sample = recorder.sampler.sample
        self._unwatched = recorder.sampler.references.unwatched
        self._streams: dict[tuple[str, str], tuple[int, int]] = {}

    def serve(self, model: str, unit: Unit | None, attributes: Attributes | None) -> "Call":
        """Begin a call; without a unit it is served the champion and no result is recorded."""
        if unit is None:
            number = self.assigner.champion(model)
            forget(model)
            return Call(self, Assignment(model=model, version=number), None)
        found = self.assigner.assign_variant(model, unit, attributes=attributes)
        return Call(self, found, hash_of(unit) if found.experiment else None)

    def record(  # noqa: PLR0913, PLR0917 - what there is to say of a result
        self,
        experiment: str,
        variant: str,
        time_ms: float | None,
        confidence: float | None,
        error: object,
        unit: Unit | None,
        metrics: Mapping[str, float] | None,
    ) -> bool:
        """Record a result; gives whether it was kept."""
        held = last.get()
        if held is not None and held[0].experiment == experiment and unit in (None, held[1]):
            assignment, its = held
            variant = variant or assignment.counted
            if assignment.shadow and variant == assignment.variant:
                # The control that was served beside a shadow: its units are the shadow's.
                return True
            phase = assignment.phase
            unit = its
        else:
            phase = self._phase(experiment)
        hashed: int | None = None
        if unit is not None:
            with suppress(HerdbookError):
                hashed = hash_of(unit)
        label = self.label(experiment, phase, variant)
        kept = self.recorder.record(label, hashed, time_ms, confidence, error)
        if metrics:
            for name, value in _pairs(metrics):
                self.recorder.measure(label, name, value, hashed)
        return kept

    def _phase(self, experiment: str) -> int:
        try:
            return self.assigner.phase(experiment)
        except (HerdbookError, TypeError):
            # The register is away and was never asked before, or that is no name at all.
            return 1

    def label(self, experiment: str, phase: int, arm: str) -> int:
        """Give the number under which an arm is recorded; 0 for what can be none."""
        try:
            found = self._labels.get((experiment, phase, arm))
        except TypeError:  # not even hashable
            return 0
        if found is None:
            found = self.recorder.label(experiment, phase, arm)
            if found:
                self._labels[experiment, phase, arm] = found
        return found

    def sample(
        self, version: tuple[str, str], prediction: object, confidence: float | None
    ) -> None:
        """Record what a version said, for its drift, unless it is known not to be watched."""
        if version in self._unwatched:
            return
        try:
            labels = self._streams[version]
        except KeyError:
            labels = self._streams[version] = self._streams_of(version)
        if prediction is None:
            self._sample(labels[1], confidence)
        elif isinstance(prediction, str):
            label = self.recorder.sampler.category(*version, PREDICTION, prediction, served=True)
            self._sample(label, 0.0, confidence)
        else:
            self._sample(labels[0], prediction, confidence)

    def _streams_of(self, version: tuple[str, str]) -> tuple[int, int]:
        label = self.recorder.sampler.label
        names = PREDICTION, CONFIDENCE
        prediction, confidence = (label(*version, name, served=True) for name in names)
        return prediction, confidence

    def close(self) -> None:
        """Look no more, send what is recorded."""
        self.assigner.close()
        self.recorder.close()


def _pairs(metrics: Any) -> Iterable[tuple[str, float]]:
    try:
        return metrics.items()  # type: ignore[no-any-return]
    except AttributeError:
        return (("", math.nan),)  # a name that cannot be, so it counts as dropped


class _Timed:
    """What a call and its shadow share: a time, an outcome, what was observed."""

    __slots__ = (
        "_began",
        "_calls",
        "_confidence",
        "_label",
        "_metrics",
        "_prediction",
        "_since",
        "_unit",
        "_version",
        "failed",
        "left_out",
    )

    def __init__(
        self, calls: Calls, version: tuple[str, str], label: int, unit: int | None
    ) -> None:
        self._calls = calls
        self._version = version
        self._label = label
        self._unit = unit
        self._confidence: float | None = None
        self._prediction: float | str | None = None
        self._metrics: dict[str, float] | None = None
        self._began: Any = None
        self._since = 0
        self.failed = False
        self.left_out = False

    def observe(
        self,
        *,
        prediction: float | str | None = None,
        confidence: float | None = None,
        **metrics: float,
    ) -> None:
        """Note what came of the call: of its experiment, and of the drift of its version.

        Args:
            prediction: what the version predicted, a number or a category as text.
            confidence: how sure it was, 0 to 1.
            metrics: any other number, by its name.
        """
        if confidence is not None:
            self._confidence = confidence
        if prediction is not None:
            self._prediction = prediction
            if not isinstance(prediction, str):
                metrics["prediction"] = prediction
        if metrics:
            held = self._metrics
            self._metrics = metrics if held is None else {**held, **metrics}

    def fail(self) -> None:
        """Count the call as an error, though nothing was raised."""
        self.failed = True

    def leave_out(self) -> None:
        """Record nothing of the call: it told nothing of the version, as when its caller left."""
        self.left_out = True

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(self, kind: Kind, error: Raised, trace: Trace) -> None:
        self._end(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: Kind, error: Raised, trace: Trace) -> None:
        self._end(error)

    def _begin(self) -> None:
        if self._label:
            self._began = self._calls.recorder.started(self._label)
        self._since = perf_counter_ns()

    def _end(self, raised: BaseException | None) -> None:
        time_ms = (perf_counter_ns() - self._since) * _MILLISECOND
        recorder = self._calls.recorder
        if self.left_out or (raised is not None and type(raised).__name__ in _ENDINGS):
            if self._label:
                recorder.finished(self._label, began=self._began)
            return
        if self._prediction is not None or self._confidence is not None:
            self._calls.sample(self._version, self._prediction, self._confidence)
        if not self._label:
            return
        failed = self.failed or (raised is not None and _is_failure(raised))
        recorder.record(self._label, self._unit, time_ms, self._confidence, failed, self._began)
        if self._metrics:
            for name, value in self._metrics.items():
                recorder.measure(self._label, name, value, self._unit)


def _is_failure(raised: BaseException) -> bool:
    """Whether an exception is the version's fault: an HTTP answer below 500 is the caller's.

    That is Starlette's own exception: others carry the status of somebody else's answer.
    """
    if all(kind.__name__ != "HTTPException" for kind in type(raised).__mro__):
        return True
    status = getattr(raised, "status_code", None)
    return not (isinstance(status, int) and status < _SERVER_ERROR)


class Call(_Timed):
    """One call of a version: `with book.serve("gnn", unit="user123") as call: …`.

    Attributes:
        assignment: what the unit gets and why.
        failed: whether it counts as an error.
        left_out: whether nothing of it is recorded.
        shadow: the version to call beside this one, or None.
    """

    __slots__ = ("assignment", "shadow")

    def __init__(self, calls: Calls, assignment: Assignment, unit: int | None) -> None:
        beside = assignment.shadow
        label = 0
        if assignment.experiment and not beside:
            label = calls.label(assignment.experiment, assignment.phase, assignment.variant)
        super().__init__(calls, (assignment.model, assignment.version), label, unit)
        self.assignment = assignment
        self.shadow = Shadow(calls, assignment, unit) if beside else None

    @property
    def version(self) -> str:
        """The number to serve."""
        return self.assignment.version

    @property
    def variant(self) -> str:
        """The arm that is served, or `champion`."""
        return self.assignment.variant

    @property
    def ref(self) -> str:
        """The version to serve, such as `gnn:v2.1.0`."""
        return f"{self.assignment.model}:{self.assignment.version}"


class Shadow(_Timed):
    """The version called beside the one that is served: what it raises is recorded, never raised.

    Attributes:
        version: its number.
    """

    __slots__ = ("version",)

    def __init__(self, calls: Calls, assignment: Assignment, unit: int | None) -> None:
        label = calls.label(assignment.experiment, assignment.phase, assignment.shadow)
        super().__init__(calls, (assignment.model, assignment.shadow_version), label, unit)
        self.version = assignment.shadow_version

    def __exit__(self, kind: Kind, error: Raised, trace: Trace) -> bool:  # type: ignore[override]
        super().__exit__(kind, error, trace)
        return isinstance(error, Exception)

    async def __aexit__(self, kind: Kind, error: Raised, trace: Trace) -> bool:  # type: ignore[override]
        return self.__exit__(kind, error, trace)
