"""From what was sampled to a score: evidence, its parts, levels. Nothing here reads or writes.

What is remembered of a stream between two batches is a `StreamState`; all else follows from the
references, which never change, and is worked out once for each of them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

from herdbook.core.drift import (
    CONFIDENCE,
    PREDICTION,
    Components,
    Level,
    Recent,
    Settings,
    State,
    StreamState,
)
from herdbook.core.references import Kind, Reference
from herdbook.core.sampling import Hour, StreamSums
from herdbook.errors import Invalid
from herdbook.stats import edetectors
from herdbook.stats.distances import ks, ks_p_value
from herdbook.stats.edetectors import Bet, Scores, ShareBet

# A level is left when the score falls below so much of its threshold.
HYSTERESIS: Final = 0.8
LEVELS: Final = (Level.NORMAL, Level.WATCH, Level.RETRAIN, Level.CRITICAL)
# A part of the score is only what exceeds so many standard errors.
_ERRORS: Final = 2.0
# Where nearly all values are one, a normal score says little of how far another one lies.
_LEAST_SPREAD: Final = 0.25
_LITERAL_SPREAD: Final = 0.5
_LITERAL_DROP: Final = 0.2
_MISSING: Final = -1


class Detector:
    """What a stream's values are worth as evidence, worked out from its reference."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference

    @cached_property
    def scores(self) -> tuple[Scores, ...]:
        """The normal scores of the bins, of each part of the day."""
        return tuple(edetectors.scores(counts) for counts in self._counts)

    @cached_property
    def bets(self) -> tuple[tuple[Bet, ...], ...]:
        """The bets on numbers, of each part of the day."""
        tau = self.reference.tau
        return tuple(
            edetectors.bets(counts, of, tau=tau)
            for counts, of in zip(self._counts, self.scores, strict=True)
        )

    @property
    def _counts(self) -> Sequence[Sequence[int]]:
        slots = self.reference.slots
        return [slot.counts for slot in slots] if slots else [self.reference.counts]

    @cached_property
    def share_bets(self) -> tuple[ShareBet, ...]:
        """The bets on categories, and on missing values."""
        reference = self.reference
        every = reference.count + reference.missing
        found = list(edetectors.share_bets(_MISSING, reference.missing, every, tau=reference.tau))
        if reference.kind is Kind.CATEGORICAL:
            for at, count in enumerate(reference.counts):
                found += edetectors.share_bets(at, count, reference.count, tau=reference.tau)
        return tuple(found)

    @cached_property
    def spread(self) -> float:
        """The standard deviation of the reference's scores as `Recent` takes them, about 1.

        Where nearly all values are one it is about 0.
        """
        counts, of = self._counts[0], self.scores[0]
        number = sum(counts)
        mean = math.fsum(c * z for c, z in zip(counts, of.of, strict=True)) / number
        squares = math.fsum(c * (z - mean) ** 2 for c, z in zip(counts, of.of, strict=True))
        return math.sqrt(squares / number) / max(of.sd, _LEAST_SPREAD)

    def after(
        self,
        state: StreamState,
        sums: StreamSums,
        *,
        window: int,
        ceiling: float = edetectors.CEILING,
    ) -> StreamState:
        """Give the state after a batch.

        Args:
            state: before it.
            sums: the batch; bins that the reference has not are Invalid.
            window: see `Settings.window`.
            ceiling: see `ceiling`.
        """
        reference = self.reference
        number = sums.values + sums.missing
        if not number:
            return state
        slot = reference.slot_of(sums.hour)
        counts = _by_number(sums.levels if reference.slots else sums.counts)
        bins = len(self._counts[slot])
        if any(at >= bins for at in counts) or (
            reference.slots and sum(counts.values()) != sums.values
        ):
            raise Invalid(f"{sums.stream} has no such bins, or not as many values", field="counts")
        added = edetectors.share_logs(counts, sums.values, sums.missing, self.share_bets)
        recent = state.recent
        if reference.kind is Kind.NUMERIC:
            of = self.scores[slot]
            batch = edetectors.batch(counts, of)
            added += edetectors.bet_logs(batch, self.bets[slot])
            recent = _recent(recent, batch, of, sums.total, window)
        # Other bets than before mean that another release of Herdbook made the state.
        logs = state.logs if len(state.logs) == len(added) else ()
        return StreamState(
            values=state.values + sums.values,
            missing=state.missing + sums.missing,
            logs=edetectors.updated(logs, added, number, tau=reference.tau, ceiling=ceiling),
            recent=recent,
        )


def _by_number(counts: Mapping[str, int]) -> dict[int, int]:
    return {int(at): count for at, count in counts.items()}


def _recent(recent: Recent, batch: edetectors.Sums, of: Scores, offs: float, window: int) -> Recent:
    """Let older values weigh less, by `exp(-n / window)`, and add a batch.

    Within a batch the first weigh less than the last as well, so that a large one is no more than
    the window.
    """
    if not batch.values:
        return recent
    kept = math.exp(-batch.values / window)
    worth = -math.expm1(-batch.values / window) * window / batch.values
    spread = max(of.sd, _LEAST_SPREAD)
    total = (batch.total - batch.values * of.mean) / spread
    squares = batch.squares - 2 * of.mean * batch.total + batch.values * of.mean**2
    return Recent(
        weight=recent.weight * kept + batch.values * worth,
        total=recent.total * kept + total * worth,
        squares=recent.squares * kept + squares / spread**2 * worth,
        offs=recent.offs * kept + offs * worth,
    )


def ratio(state: StreamState, *, streams: int, run_length: float) -> float:
    """Log evidence as a share of what an alarm takes; each of several streams has to bring more."""
    return edetectors.evidence(state.logs) / math.log(run_length * streams)


def ceiling(*, streams: int, run_length: float) -> float:
    """What evidence is kept below, so that it falls soon after a drift has ended."""
    return min(edetectors.CEILING, math.log(run_length * streams) + edetectors.HEADROOM)


def components(
    detectors: Mapping[str, Detector], streams: Mapping[str, StreamState], settings: Settings
) -> Components | None:
    """Give the parts of the score, or None while there are too few values."""
    references = {name: detector.reference for name, detector in detectors.items()}
    most = max((each.values + each.missing for each in streams.values()), default=0)
    if most < settings.least:
        return None
    ratios = [
        ratio(each, streams=len(references), run_length=settings.run_length)
        for each in streams.values()
    ]
    return Components(
        statistical=_clipped(2 * max(ratios) - 1),
        performance=_performance(references, streams, settings),
        distribution=max(
            (
                _distribution(detectors[name], streams[name].recent, settings)
                for name in _judged_by(references, streams)
            ),
            default=0.0,
        ),
    )


def _judged_by(
    references: Mapping[str, Reference], streams: Mapping[str, StreamState]
) -> list[str]:
    """Name the streams whose mean and spread count: the predictions, else all other numbers."""
    if PREDICTION in streams and references[PREDICTION].kind is Kind.NUMERIC:
        return [PREDICTION]
    return [
        name
        for name in streams
        if references[name].kind is Kind.NUMERIC and name not in {PREDICTION, CONFIDENCE}
    ]


def _performance(
    references: Mapping[str, Reference], streams: Mapping[str, StreamState], settings: Settings
) -> float:
    """The drop of the mean confidence beyond two standard errors."""
    if CONFIDENCE not in streams or references[CONFIDENCE].kind is not Kind.NUMERIC:
        return 0.0
    recent, reference = streams[CONFIDENCE].recent, references[CONFIDENCE]
    if recent.weight < settings.least:
        return 0.0
    drop = -recent.offs / recent.weight
    noise = _ERRORS * reference.sd * _error(reference, recent)
    return _clipped((drop - noise) / settings.confidence_drop)


def _distribution(detector: Detector, recent: Recent, settings: Settings) -> float:
    """How far mean and spread moved beyond two standard errors, in the reference's spread."""
    if recent.weight < settings.least:
        return 0.0
    mean = recent.total / recent.weight
    spread = math.sqrt(max(0.0, recent.squares / recent.weight - mean**2))
    error = _ERRORS * _error(detector.reference, recent)
    moved = max(0.0, abs(mean) - error)
    widened = max(0.0, abs(spread - detector.spread) - error / math.sqrt(2))
    return _clipped((moved + widened) / settings.spread)


def _error(reference: Reference, recent: Recent) -> float:
    """The standard error of a mean of recent values, in standard deviations."""
    return math.sqrt(reference.tau * (1 / recent.weight + 1 / reference.count))


def _clipped(value: float) -> float:
    return min(1.0, max(0.0, value))


def score_of(parts: Components, settings: Settings) -> float:
    """The weighted sum of the parts, 0 to 1."""
    return _clipped(
        settings.weights[0] * parts.statistical
        + settings.weights[1] * parts.performance
        + settings.weights[2] * parts.distribution
    )


def literal(
    references: Mapping[str, Reference], hours: Mapping[str, Sequence[Hour]], settings: Settings
) -> Components | None:
    """Give the parts as the seeds' formula is written, of the hours given; for comparison.

    Statistical is 1 minus the p-value of the two-sample Kolmogorov-Smirnov test: it is anything
    from 0 to 1, each as likely, where nothing has changed at all. Performance is the drop in mean
    confidence over 0.2, distribution the change of mean and standard deviation over 0.5, in the
    unit of the predictions.
    """
    found = {
        name: joined(references[name], of)
        for name, of in hours.items()
        if of and name in references
    }
    reference, now = references.get(PREDICTION), found.get(PREDICTION)
    if reference is None or now is None or now.values < settings.least:
        return None
    d = ks(reference.counts, now.counts)
    mean, sd = mean_and_sd(reference, now)
    performance = 0.0
    if CONFIDENCE in found and found[CONFIDENCE].values:
        after, _ = mean_and_sd(references[CONFIDENCE], found[CONFIDENCE])
        performance = (references[CONFIDENCE].mean - after) / _LITERAL_DROP
    return Components(
        statistical=1 - ks_p_value(d, reference.count, now.values),
        performance=_clipped(performance),
        distribution=_clipped(
            (abs(mean - reference.mean) + abs(sd - reference.sd)) / _LITERAL_SPREAD
        ),
    )


def joined(reference: Reference, hours: Sequence[Hour]) -> Hour:
    """Add up hours, their sums taken from the reference's mean instead of each hour's centre."""
    moved = []
    for each in hours:
        by = reference.centre(reference.slot_of(each.hour)) - reference.mean
        squares = each.squares + 2 * by * each.total + each.values * by * by
        moved.append(replace(each, total=each.total + each.values * by, squares=max(0.0, squares)))
    if not moved:
        return Hour(hour=0, counts=(0,) * reference.bins)
    return Hour(
        hour=moved[-1].hour,
        counts=tuple(map(sum, zip(*(each.counts for each in moved), strict=True))),
        missing=sum(each.missing for each in moved),
        total=math.fsum(each.total for each in moved),
        squares=math.fsum(each.squares for each in moved),
    )


def mean_and_sd(reference: Reference, hour: Hour) -> tuple[float, float]:
    """The mean and standard deviation of what `joined` gave; NaN of no values."""
    if not hour.values:
        return math.nan, math.nan
    off = hour.total / hour.values
    return reference.mean + off, math.sqrt(max(0.0, hour.squares / hour.values - off * off))


def judged(state: State, parts: Components | None, settings: Settings, *, now: datetime) -> State:
    """Give the state with its score, level and alarm after new parts."""
    if parts is None:
        return replace(state, checked_at=now)
    score = score_of(parts, settings)
    least = settings.thresholds[1]
    proven = parts.statistical >= 1 or settings.mode == "literal"
    alarm = score >= HYSTERESIS * least if state.alarm else proven and score >= least
    return replace(
        state,
        score=score,
        components=parts,
        alarm=alarm,
        level=_level(state.level, score, settings, alarm=alarm),
        checked_at=now,
    )


def _level(before: Level, score: float, settings: Settings, *, alarm: bool) -> Level:
    found = sum(score >= threshold for threshold in settings.thresholds)
    at = LEVELS.index(before)
    if found < at and score >= HYSTERESIS * settings.thresholds[at - 1]:
        found = at
    return LEVELS[found if alarm else min(found, LEVELS.index(Level.WATCH))]


def wants_retraining(state: State, settings: Settings, *, asked: bool, now: datetime) -> bool:
    """Whether a retraining is to be asked for: critical, once an episode, after the cool-down."""
    if asked or not state.alarm or state.level is not Level.CRITICAL:
        return False
    since = state.retrained_at
    return since is None or now - since >= timedelta(hours=settings.cool_down_hours)


def expected_accuracy(reference: Reference, now: Hour) -> float | None:
    """Estimate the accuracy from confidences alone: what they were worth in the reference.

    Each bin of the confidence counts with the share of right predictions of its tenth. It holds as
    long as a confidence means what it meant: it sees a change in the inputs, none in what is true.

    Reference: Guillory et al., "Predicting with confidence on unseen distributions", ICCV (2021);
    known from NannyML as confidence-based performance estimation (CBPE).
    """
    if not reference.accuracy or not now.values:
        return None
    tenths = len(reference.accuracy)
    middles = [
        (low + high) / 2
        for low, high in zip(
            (reference.low, *reference.edges), (*reference.edges, reference.high), strict=True
        )
    ]
    right = math.fsum(
        count * reference.accuracy[min(tenths - 1, max(0, int(middle * tenths)))]
        for count, middle in zip(now.counts, middles, strict=True)
    )
    return right / now.values
