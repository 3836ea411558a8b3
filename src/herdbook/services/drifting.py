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
from herdbook.core.sampling import StreamSums
from herdbook.errors import Invalid
from herdbook.services.sampling import furthest
from herdbook.stats import edetectors
from herdbook.stats.edetectors import Bet, Scores, ShareBet

# A level is left when the score falls below so much of its threshold.
HYSTERESIS: Final = 0.8
LEVELS: Final = (Level.NORMAL, Level.WATCH, Level.RETRAIN, Level.CRITICAL)
# A part of the score is only what exceeds so many standard errors.
_ERRORS: Final = 2.0
# Where nearly all values are one, a normal score says little of how far another one lies.
_LEAST_SPREAD: Final = 0.25
_MISSING: Final = -1
# What moves of a normal distribution, for each standard deviation of a small shift.
_SHARE_OF_SHIFT: Final = 0.4
# What sums of floats may be off by.
_ROUNDING: Final = 1e-6


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
        _check_sums(sums, furthest(reference))
        added = edetectors.share_logs(counts, sums.values, sums.missing, self.share_bets)
        if reference.kind is Kind.NUMERIC:
            of = self.scores[slot]
            batch = edetectors.batch(counts, of)
            added += edetectors.bet_logs(batch, self.bets[slot])
            new = _recent(batch, of, sums)
        else:
            held = [float(counts.get(at, 0)) for at in range(reference.bins)]
            new = Recent(weight=sums.values, shares=(*held, float(sums.missing)))
        recent = _faded(state.recent, new, number, window)
        # Other bets than before mean that another release of Herdbook made the state.
        logs = state.logs if len(state.logs) == len(added) else ()
        return StreamState(
            values=state.values + sums.values,
            missing=state.missing + sums.missing,
            logs=edetectors.updated(logs, added, number, tau=reference.tau, ceiling=ceiling),
            recent=recent,
        )


def _check_sums(sums: StreamSums, most: float) -> None:
    """Refuse sums of values further off than any counts: they would weigh on the mean for days."""
    whole = sums.values * most * (1 + _ROUNDING)
    if abs(sums.total) > whole or sums.squares > whole * most:
        raise Invalid(
            f"no {sums.values} values of {sums.stream} add up to {sums.total:g}: none counts as "
            f"further off than {most:g}",
            field="total",
        )


def _by_number(counts: Mapping[str, int]) -> dict[int, int]:
    return {int(at): count for at, count in counts.items()}


def _recent(batch: edetectors.Sums, of: Scores, sums: StreamSums) -> Recent:
    """Give the sums of a batch of numbers, in the reference's own mean and spread."""
    spread = max(of.sd, _LEAST_SPREAD)
    squares = batch.squares - 2 * of.mean * batch.total + batch.values * of.mean**2
    return Recent(
        weight=batch.values,
        total=(batch.total - batch.values * of.mean) / spread,
        squares=squares / spread**2,
        offs=sums.total,
        shares=(float(sums.missing),),
    )


def _faded(before: Recent, new: Recent, number: int, window: int) -> Recent:
    """Let older values weigh less, by `exp(-n / window)`, and add a batch of n.

    Within a batch the first weigh less than the last as well, so that a large one is no more than
    the window.
    """
    kept = math.exp(-number / window)
    worth = -math.expm1(-number / window) * window / number
    same = len(before.shares) == len(new.shares)
    held = before.shares if same else (0.0,) * len(new.shares)
    return Recent(
        weight=before.weight * kept + new.weight * worth,
        total=before.total * kept + new.total * worth,
        squares=before.squares * kept + new.squares * worth,
        offs=before.offs * kept + new.offs * worth,
        shares=tuple(a * kept + b * worth for a, b in zip(held, new.shares, strict=True)),
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
        statistical=clipped(2 * max(ratios) - 1),
        performance=_performance(references, streams, settings),
        distribution=max(
            (
                _distribution(detectors[name], streams[name].recent, settings)
                for name in _judged_by(streams)
            ),
            default=0.0,
        ),
    )


def _judged_by(streams: Mapping[str, StreamState]) -> list[str]:
    """Name the streams whose distribution counts: the predictions, else all but confidences."""
    if PREDICTION in streams:
        return [PREDICTION]
    return [name for name in streams if name != CONFIDENCE]


def _performance(
    references: Mapping[str, Reference], streams: Mapping[str, StreamState], settings: Settings
) -> float:
    """The drop of the mean confidence beyond two standard errors."""
    if CONFIDENCE not in streams or references[CONFIDENCE].kind is not Kind.NUMERIC:
        return 0.0
    recent, reference = streams[CONFIDENCE].recent, references[CONFIDENCE]
    if not _are_enough(recent, settings):
        return 0.0
    drop = -recent.offs / recent.weight
    noise = _ERRORS * reference.sd * _error(reference, recent.weight)
    return clipped((drop - noise) / settings.confidence_drop)


def _distribution(detector: Detector, recent: Recent, settings: Settings) -> float:
    """How far mean and spread, or the shares of categories, moved, or values went missing."""
    reference = detector.reference
    found = 0.0
    if recent.shares:
        both = reference.count, reference.missing
        found = _moved_shares(reference, both, (recent.weight, recent.shares[-1]), settings)
    if not _are_enough(recent, settings):
        return found
    if reference.kind is Kind.CATEGORICAL:
        counts = reference.counts
        return max(found, _moved_shares(reference, counts, recent.shares[:-1], settings))
    mean = recent.total / recent.weight
    spread = math.sqrt(max(0.0, recent.squares / recent.weight - mean**2))
    error = _ERRORS * _error(reference, recent.weight)
    moved = max(0.0, abs(mean) - error)
    widened = max(0.0, abs(spread - detector.spread) - error / math.sqrt(2))
    return max(found, clipped((moved + widened) / settings.spread))


def _moved_shares(
    reference: Reference, before: Sequence[float], now: Sequence[float], settings: Settings
) -> float:
    """The total variation distance of shares beyond chance, in the unit of `Settings.spread`.

    Chance is its mean without a change and two standard deviations, each share's error taken as
    normal. A shift of d standard deviations of a normal variable moves `2 cdf(d / 2) - 1` of it,
    about 0.4 d.
    """
    whole, weight = math.fsum(before), math.fsum(now)
    if weight < min(settings.least, settings.window / 2):
        return 0.0
    error = _error(reference, weight)
    parts = [count / whole for count in before]
    errors = [error * math.sqrt(part * (1 - part)) for part in parts]
    moved = math.fsum(abs(p - q / weight) for p, q in zip(parts, now, strict=True)) / 2
    mean = math.sqrt(2 / math.pi) * math.fsum(errors) / 2
    sd = math.sqrt((1 - 2 / math.pi) * math.fsum(e * e for e in errors)) / 2
    return clipped((moved - mean - _ERRORS * sd) / (_SHARE_OF_SHIFT * settings.spread))


def _are_enough(recent: Recent, settings: Settings) -> bool:
    # Values that fade weigh less than the window, however many come.
    return recent.weight >= min(settings.least, settings.window / 2)


def _error(reference: Reference, weight: float) -> float:
    """The standard error of a mean of recent values, in standard deviations."""
    return math.sqrt(reference.tau * (1 / weight + 1 / reference.count))


def clipped(value: float) -> float:
    """Keep a part of the score within 0 to 1."""
    return min(1.0, max(0.0, value))


def score_of(parts: Components, settings: Settings) -> float:
    """The weighted sum of the parts, 0 to 1."""
    return clipped(
        settings.weights[0] * parts.statistical
        + settings.weights[1] * parts.performance
        + settings.weights[2] * parts.distribution
    )


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
