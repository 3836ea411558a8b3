"""Drift: how far what a version predicts now is from its frozen reference.

A version that is watched has *streams* (its predictions, its confidence, any named number or
category beside them), each with a *reference* that never changes. Production is counted in the
reference's own bins, by the hour: counts are added in any order, from any number of processes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from herdbook.core.references import Kind, Reference
from herdbook.core.wire import LATER
from herdbook.errors import Invalid

PREDICTION: Final = "prediction"
CONFIDENCE: Final = "confidence"


class Level(StrEnum):
    """How far a version has drifted, by its score; the seeds' four levels."""

    NORMAL = "normal"
    WATCH = "watch"
    RETRAIN = "retrain"
    CRITICAL = "critical"


class Status(StrEnum):
    """What is known of a version's drift."""

    NO_REFERENCE = "no_reference"
    INSUFFICIENT = "insufficient_data"
    ACTIVE = "active"


class Mode(StrEnum):
    """How the score is made."""

    EVIDENCE = "evidence"
    LITERAL = "literal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How drift of a model's versions is judged; the defaults are the seeds'.

    Args:
        weights: of the statistical, performance and distribution part; they sum to 1.
        thresholds: where the levels watch, retrain and critical begin, ascending in 0 to 1.
        window: how many values back the performance and distribution part look, about.
        run_length: how many values may pass, on average, until a false alarm, at least 100.
        least: how many values there must be before anything is said.
        confidence_drop: the drop in mean confidence that makes the performance part 1.
        spread: the change in mean plus the one in spread, in standard deviations of the reference,
            that makes the distribution part 1; of categories, and of missing values, 0.4 of it is
            the share that has to move.
        cool_down_hours: between one retraining that is asked for and the next.
        mode: `evidence`, or `literal` for the seeds' formula as it is written.
    """

    weights: tuple[float, float, float] = (0.4, 0.3, 0.3)
    thresholds: tuple[float, float, float] = (0.1, 0.3, 0.5)
    window: int = 1_000
    run_length: float = 1e6
    least: int = 30
    confidence_drop: float = 0.2
    spread: float = 0.5
    cool_down_hours: float = 24.0
    mode: Mode = Mode.EVIDENCE

    def checked(self) -> "Settings":
        """Give them when they can be; Invalid."""
        if any(not 0 <= weight <= 1 for weight in self.weights) or not math.isclose(
            math.fsum(self.weights), 1, abs_tol=1e-9
        ):
            raise Invalid(
                f"weights are three shares that sum to 1, not {self.weights}", field="weights"
            )
        if not 0 < self.thresholds[0] < self.thresholds[1] < self.thresholds[2] <= 1:
            raise Invalid(
                f"thresholds rise from above 0 to at most 1, not {self.thresholds}",
                field="thresholds",
            )
        for name, least, most in _RANGES:
            found = getattr(self, name)
            if not least <= found <= most:
                raise Invalid(
                    f"{name} is {found!r:.30}; it must lie in {least:g} to {most:g}", field=name
                )
        if self.mode is Mode.EVIDENCE and self.weights[0] < self.thresholds[1]:
            raise Invalid(
                f"evidence weighs {self.weights[0]:g}, an alarm begins at {self.thresholds[1]:g}: "
                "no proof alone would ever raise one; let it weigh as much",
                field="weights",
            )
        if self.window < self.least:
            raise Invalid(
                f"a window of {self.window} values never holds the {self.least} that `least` asks "
                "for: widen it",
                field="window",
            )
        return self


_RANGES: Final = (
    ("window", 10, 1_000_000),
    ("run_length", 100, 1e12),
    ("least", 1, 1_000_000),
    ("confidence_drop", 1e-6, 1),
    ("spread", 1e-6, 100),
    ("cool_down_hours", 0, 10_000),
)


# --- what the register knows ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """The last values of a stream, older ones weighing less.

    Args:
        weight: how many they are worth.
        total: the weighted sum of their normal scores (see `stats.edetectors`), taken so that in
            the reference their mean is 0 and their standard deviation 1.
        squares: of the squares of those.
        offs: of the values less their centre.
        shares: of categories, how many of each are among them; last of all, of any stream, how
            many are missing.
    """

    weight: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    offs: float = 0.0
    shares: tuple[float, ...] = field(default=(), metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """How the evidence about a stream stands.

    Args:
        values: counted since the reference was frozen.
        missing: the same of missing ones.
        logs: the natural logarithms of the e-detectors, see `stats.edetectors`.
        recent: the last values.
    """

    values: int = 0
    missing: int = 0
    logs: tuple[float, ...] = ()
    recent: Recent = field(default_factory=Recent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A stretch of drift, from the alarm to its end.

    Args:
        id: unique in the register, such as `drift-17`.
        model: its model.
        number: the version's.
        began_at: when the alarm was raised.
        ended_at: when the score fell below 0.8 of the threshold, or None while it goes on.
        level: the highest level it reached.
        peak: the highest score.
        streams: those whose evidence raised it, strongest first.
        retrain_at: when the retraining was asked for, or None.
        claimed_by: who does it, or "".
        candidate: the number of the version that came of it, or "".
        told_by: who ran a command at the alarm, or "".
    """

    id: str
    model: str
    number: str
    began_at: datetime
    ended_at: datetime | None = None
    level: Level
    peak: float
    streams: tuple[str, ...] = ()
    retrain_at: datetime | None = None
    claimed_by: str = ""
    candidate: str = ""
    told_by: str = field(default="", metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """The parts of the score, each 0 to 1; a part that nothing is known of is 0.

    Args:
        statistical: how much of the evidence for an alarm there is.
        performance: how far the confidence fell.
        distribution: how far mean and spread moved.
    """

    statistical: float
    performance: float
    distribution: float


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """How a version's drift stands: all that changes as values come.

    Args:
        streams: by name.
        score: 0 to 1, or None while there is too little.
        level: by the score, with hysteresis; above watch only while there is an alarm.
        alarm: whether the evidence and the score both are above their thresholds, latched until
            the score falls below 0.8 of it.
        components: the parts of the score, or None.
        episode: the id of the one that goes on, or "".
        retrained_at: when a retraining was asked for last, or None.
        checked_at: when values came last, or None.
        late: values that could not be counted: of another reference, or from too long ago.
    """

    streams: Mapping[str, StreamState] = field(default_factory=dict)
    score: float | None = None
    level: Level = Level.NORMAL
    alarm: bool = False
    components: Components | None = None
    episode: str = ""
    retrained_at: datetime | None = None
    checked_at: datetime | None = None
    late: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A version that is watched: what its production is compared with.

    Args:
        model: its model.
        number: its number.
        fingerprint: of all references together, 32 hexadecimal digits.
        references: by stream.
        frozen_at: when.
    """

    model: str
    number: str
    fingerprint: str
    references: Mapping[str, Reference]
    frozen_at: datetime


# --- what is said ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a version stands, in as few words as can be: what is asked for again and again.

    Args:
        status: whether anything can be said.
        score: 0 to 1, or None.
        level: by the score.
        alarm: whether there is an alarm.
    """

    status: Status
    score: float | None = None
    level: Level = Level.NORMAL
    alarm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A bin that holds another share than in the reference.

    Args:
        what: its range, such as `0.2 to 0.31`, or its category.
        reference: its share there.
        current: its share now.
    """

    what: str
    reference: float
    current: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamReport:
    """What is said of one stream.

    Args:
        stream: its name.
        kind: numbers or categories.
        values: counted in all.
        missing: missing ones in all.
        evidence: log evidence as a share of what an alarm takes; 1 and more is an alarm.
        reference_mean: of the reference, None of categories.
        mean: of the last 24 hours; None where there is none.
        reference_sd: of the reference.
        sd: of the last 24 hours.
        missing_share: of the last 24 hours.
        ks: the Kolmogorov-Smirnov distance of the last 24 hours, 0 to 1.
        psi: the population stability index, in nats.
        js: the Jensen-Shannon distance, 0 to 1.
        wasserstein: in standard deviations of the reference, None of categories.
        chi_square: a category stream's statistic divided by its degrees of freedom, else None.
        moved: the bins that moved most.
        warnings: what makes less of it than it seems, in words.
    """

    stream: str
    kind: Kind
    values: int
    missing: int
    evidence: float
    reference_mean: float | None = None
    mean: float | None = None
    reference_sd: float | None = None
    sd: float | None = None
    missing_share: float | None = None
    ks: float | None = None
    psi: float | None = None
    js: float | None = None
    wasserstein: float | None = None
    chi_square: float | None = None
    moved: tuple[Moved, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is said of a version's drift; the first five fields after its name are the seeds'.

    Args:
        model: its model.
        number: its number.
        status: whether anything can be said.
        current_drift_score: 0 to 1, or None.
        avg_drift_7d: the mean of the hours' scores of the last seven days, or None.
        alert_triggered: whether there is an alarm.
        recommendation: in plain words.
        level: by the score.
        components: the parts of the score, or None.
        episode: the id of the one that goes on, or "".
        fingerprint: of the references, or "".
        frozen_at: when they were frozen, or None.
        samples: how many predictions were counted, or of the stream with most of them.
        expected_accuracy: estimated from the confidences of the last 24 hours, or None.
        accuracy: of the labels that arrived for requests of the last 7 days, or None.
        labels: how many that were.
        late: values that could not be counted.
        names: of its streams.
        streams: what is said of each.
        at: when this was said.
    """

    model: str
    number: str
    status: Status
    current_drift_score: float | None = None
    avg_drift_7d: float | None = None
    alert_triggered: bool = False
    recommendation: str = ""
    level: Level = Level.NORMAL
    components: Components | None = None
    episode: str = ""
    fingerprint: str = ""
    frozen_at: datetime | None = None
    samples: int = 0
    expected_accuracy: float | None = None
    accuracy: float | None = None
    labels: int = 0
    late: int = 0
    names: tuple[str, ...] = ()
    streams: tuple[StreamReport, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPoint:
    """One hour of a version's drift, to be drawn.

    Args:
        hour: since 1970, in UTC.
        score: the mean of the scores in it, or None.
        values: predictions counted in it.
        mean: of them, or None.
        confidence: the mean confidence, or None.
    """

    hour: int
    score: float | None
    values: int
    mean: float | None = None
    confidence: float | None = None
