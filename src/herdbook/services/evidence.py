"""The evidence of an experiment: folded batch by batch, kept as a value, replayed to the same bits.

A batch goes in once, in the order in which batches were committed; what is bet on it was fixed by
the batches before. Results of the same unit are no independent results, so the bets on error rates
take the first result of each unit, results without a unit and lost calls, which stand alone; means
take everything, by cells of units. Phases are strata of every comparison and never pooled.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from herdbook.core.experiments import BUILT_IN, CONTROL, Plan
from herdbook.core.recording import METRICS_LIMIT, ArmSums, added
from herdbook.errors import Invalid
from herdbook.stats import cells, quantiles, rates
from herdbook.stats.cells import Running
from herdbook.stats.histograms import LogHistogram
from herdbook.stats.quantiles import LatencyBatch, QuantileClaim, QuantileEvidence
from herdbook.stats.rates import Counts, RateBatch, RateClaim, RateEvidence
from herdbook.stats.wagers import Wealth

ERROR: Final = "error"
# Results an arm should have on average before they are bet on: batches of 20 lose a twentieth.
GATHERED: Final = 10
# So many are bet on even where an arm has none: one that gets no traffic must not hold the others.
_AT_MOST: Final = 10 * GATHERED
# Values of control from which the size of effect to look for is taken where the plan has none.
_SCALE_VALUES: Final = 30
# That size as a share of control's standard deviation.
_SCALE_SHARE: Final = 0.1
# Kinds of refusal that are told apart in an arm and phase; others are not counted.
_REFUSED_KINDS: Final = 200

HARM: Final = "harm"
BEYOND: Final = "harm_beyond_limit"
NOT_INFERIOR: Final = "not_inferior"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What one arm did in one phase so far.

    Args:
        phase: its number.
        arm: its name.
        results: recorded ones.
        errors: among them.
        lost: calls that a worker began and died with.
        units: that had their first result of the experiment here.
        unit_errors: of those first results, errors.
        alone: results without a unit.
        alone_errors: among them.
        waiting: results that stand alone and were not bet on yet.
        waiting_errors: among them.
        histograms: metric to bucket to count.
        refused: why a value was left out, to how often.
        last: when the last result came, as far as it was told.
    """

    phase: int
    arm: str
    results: int = 0
    errors: int = 0
    lost: int = 0
    units: int = 0
    unit_errors: int = 0
    alone: int = 0
    alone_errors: int = 0
    waiting: int = 0
    waiting_errors: int = 0
    histograms: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    last: datetime | None = None

    @property
    def wagered(self) -> Counts:
        """The results that were bet on."""
        return Counts(
            self.units + self.alone + self.lost - self.waiting,
            self.unit_errors + self.alone_errors + self.lost - self.waiting_errors,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """The wealth of a bettor on one claim, see `stats.wagers.Wealth`."""

    batches: int
    logs: tuple[float, ...]
    peak: float

    @classmethod
    def of(cls, wealth: Wealth) -> "Stake":
        """The stake of a wealth."""
        return cls(batches=wealth.batches, logs=wealth.logs, peak=wealth.peak)

    @property
    def wealth(self) -> Wealth:
        """The wealth it is; Invalid when what was stored is damaged."""
        return Wealth(self.batches, self.logs, self.peak)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stakes:
    """The bets on one treatment.

    Args:
        arm: its name.
        rates: claim about the error rate to its stake.
        quantiles: guardrail to its stake.
    """

    arm: str
    rates: Mapping[str, Stake]
    quantiles: Mapping[str, Stake]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The evidence of an experiment, to be kept between two batches.

    Args:
        batches: how many were folded.
        tallies: one for each arm and phase, in order of phase, then the plan's order of arms.
        stakes: one for each treatment, in the plan's order.
        means: metric to its running sums.
        scales: metric to the size of effect its interval is tightest for, fixed once known.
    """

    batches: int = 0
    tallies: tuple[Tally, ...] = ()
    stakes: tuple[Stakes, ...] = ()
    means: Mapping[str, Running] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)

    def of(self, arm: str) -> tuple[Tally, ...]:
        """An arm's tallies, one a phase."""
        return tuple(tally for tally in self.tallies if tally.arm == arm)

    def stakes_of(self, arm: str) -> Stakes:
        """The bets on a treatment."""
        return next(each for each in self.stakes if each.arm == arm)


def claims(plan: Plan) -> dict[str, RateClaim]:
    """Give the claims about the error rate that are bet on."""
    limit = plan.max_error_rate_increase
    return {
        HARM: RateClaim("above"),
        BEYOND: RateClaim("above", margin=limit),
        NOT_INFERIOR: RateClaim("below", margin=limit),
    }


def started(plan: Plan) -> State:
    """Give the evidence of a plan before anything was recorded."""
    tails = _tails(plan)
    stakes = tuple(
        Stakes(
            arm=arm.name,
            rates={name: Stake.of(rates.start(claim).wealth) for name, claim in _claimed(plan)},
            quantiles={name: Stake.of(quantiles.start(tail).wealth) for name, _, tail in tails},
        )
        for arm in plan.arms[1:]
    )
    scales = {
        "confidence": max(abs(plan.min_confidence_improvement), 0.01),
        ERROR: max(plan.max_error_rate_increase, 0.01),
    }
    return State(stakes=stakes, scales=scales)


def folded(
    plan: Plan, state: State, batch: tuple[ArmSums, ...], *, at: datetime | None = None
) -> State:
    """Fold a batch into the evidence: a pure function, whatever was recorded before.

    Args:
        plan: the experiment's.
        state: the evidence so far; `State()` or `started(plan)` before the first batch.
        batch: what came of all arms and phases, in any order, units that came before left out of
            its `firsts` and `first_errors`. Arms that the plan does not have are left out.
        at: when the batch was taken in; without it nobody can tell an arm that fell silent.

    Raises:
        Invalid: a number in it is not finite, or is negative where it must not be.
    """
    state = state if state.stakes else replace(started(plan), batches=state.batches)
    order = {arm.name: place for place, arm in enumerate(plan.arms)}
    sums = sorted(
        added(each for each in batch if each.arm in order),
        key=lambda each: (each.phase, order[each.arm]),
    )
    state = _tails_bet(plan, state, sums)
    state = _means_added(state, sums)
    tallies = _tallied(plan, state.tallies, sums, at)
    state = replace(state, batches=state.batches + 1, tallies=tallies)
    for phase in sorted({each.phase for each in sums}):
        state = _rates_bet(plan, state, phase)
    return _scaled(state)


def _claimed(plan: Plan) -> Iterable[tuple[str, RateClaim]]:
    return claims(plan).items()


# A guardrail's name, its metric, and the claim about its quantile.
_Tail = tuple[str, str, QuantileClaim]


def _tails(plan: Plan) -> list[_Tail]:
    return [
        (each.name, each.metric, QuantileClaim(each.quantile))
        for each in plan.guardrails
        if each.quantile is not None
    ]


def _tallied(
    plan: Plan, tallies: tuple[Tally, ...], sums: Sequence[ArmSums], at: datetime | None
) -> tuple[Tally, ...]:
    found = {(tally.phase, tally.arm): tally for tally in tallies}
    for each in sums:
        # All arms of a phase are there, so that one that gets nothing is seen to get nothing.
        for arm in plan.arms:
            found.setdefault((each.phase, arm.name), Tally(phase=each.phase, arm=arm.name))
        key = each.phase, each.arm
        found[key] = _grown(found[key], each, at)
    order = {arm.name: place for place, arm in enumerate(plan.arms)}
    return tuple(found[key] for key in sorted(found, key=lambda key: (key[0], order[key[1]])))


def _grown(tally: Tally, sums: ArmSums, at: datetime | None) -> Tally:
    counts = (sums.results, sums.errors, sums.lost, sums.alone, sums.alone_errors)
    if min(counts) < 0 or sums.errors > sums.results or sums.alone_errors > sums.alone:
        raise Invalid(
            f"{sums.arm} cannot have {sums.results} results, {sums.alone} of them alone, and "
            f"{sums.errors} errors, {sums.alone_errors} of them alone, with {sums.lost} lost"
        )
    errors = len(sums.first_errors)
    units = len(sums.firsts) + errors
    alone, alone_errors = sums.alone + sums.lost, sums.alone_errors + sums.lost
    histograms = dict(tally.histograms)
    for metric, buckets in sorted(sums.histograms.items()):
        if not _has_room(metric, histograms):
            continue
        histograms[metric] = _counted(histograms.get(metric, {}), buckets)
    came = sums.results or sums.lost
    return replace(
        tally,
        results=tally.results + sums.results,
        errors=tally.errors + sums.errors,
        lost=tally.lost + sums.lost,
        units=tally.units + units,
        unit_errors=tally.unit_errors + errors,
        alone=tally.alone + sums.alone,
        alone_errors=tally.alone_errors + sums.alone_errors,
        waiting=tally.waiting + units + alone,
        waiting_errors=tally.waiting_errors + errors + alone_errors,
        histograms=histograms,
        refused=_refused(tally.refused, sums.refused) if sums.refused else tally.refused,
        last=at if came and at is not None else tally.last,
    )


def _has_room(metric: str, held: Mapping[str, object]) -> bool:
    """Whether a metric is kept: workers together could otherwise name ever more of them."""
    return metric in held or metric in BUILT_IN or len(held) < METRICS_LIMIT


def _counted(one: Mapping[str, int], two: Mapping[str, int]) -> dict[str, int]:
    counts = dict(one)
    for name, count in two.items():
        counts[name] = counts.get(name, 0) + count
    return counts


def _refused(one: Mapping[str, int], two: Mapping[str, int]) -> dict[str, int]:
    counts = dict(one)
    for why, count in sorted(two.items()):
        if why in counts or len(counts) < _REFUSED_KINDS:
            counts[why] = counts.get(why, 0) + count
    return counts


def _rates_bet(plan: Plan, state: State, phase: int) -> State:
    """Bet on the results of a phase that wait, once there are enough of them."""
    waiting = {t.arm: t for t in state.tallies if t.phase == phase}
    whole = sum(tally.waiting for tally in waiting.values())
    some = all(tally.waiting for tally in waiting.values())
    if whole < (GATHERED if some else _AT_MOST) * len(plan.arms):
        return state
    seen = tuple((str(t.phase), t.wagered) for t in state.of(CONTROL) if t.wagered.results)
    control = _waiting(waiting[CONTROL])
    stakes = []
    for each in state.stakes:
        batch = RateBatch(control, _waiting(waiting[each.arm]), str(phase))
        bets = {
            name: Stake.of(
                rates.observe(RateEvidence(claim, each.rates[name].wealth, seen), batch).wealth
            )
            for name, claim in _claimed(plan)
        }
        stakes.append(replace(each, rates=bets))
    tallies = tuple(
        replace(tally, waiting=0, waiting_errors=0) if tally.phase == phase else tally
        for tally in state.tallies
    )
    return replace(state, stakes=tuple(stakes), tallies=tallies)


def _waiting(tally: Tally) -> Counts:
    return Counts(tally.waiting, tally.waiting_errors)


def _tails_bet(plan: Plan, state: State, sums: Sequence[ArmSums]) -> State:
    """Bet on what of a batch lies above the quantiles that control had before it."""
    tails = _tails(plan)
    if not tails:
        return state
    stakes = list(state.stakes)
    for phase in sorted({each.phase for each in sums}):
        came = {each.arm: each for each in sums if each.phase == phase}
        for place, held in enumerate(stakes):
            bets = dict(held.quantiles)
            for tail in tails:
                bets[tail[0]] = _tail_bet(tail, state, held, phase, came)
            stakes[place] = replace(held, quantiles=bets)
    return replace(state, stakes=tuple(stakes))


def _tail_bet(
    tail: _Tail, state: State, held: Stakes, phase: int, came: Mapping[str, ArmSums]
) -> Stake:
    name, metric, claim = tail
    past = [t for t in state.of(CONTROL) if t.phase == phase and metric in t.histograms]
    seen = tuple((str(t.phase), _histogram(t.histograms[metric])) for t in past)
    evidence = QuantileEvidence(claim, held.quantiles[name].wealth, seen)
    control, treatment = (
        _histogram(came[arm].histograms.get(metric, {}) if arm in came else {})
        for arm in (CONTROL, held.arm)
    )
    batch = LatencyBatch(control, treatment, str(phase))
    worth = 1 / _design_effect(state, metric, held.arm)
    return Stake.of(quantiles.observe(evidence, batch, worth=worth).wealth)


def _design_effect(state: State, metric: str, arm: str) -> float:
    """How much less a value of units that come again is worth, as far as the past tells."""
    running = state.means.get(metric)
    if running is None:
        return 1.0
    return max(cells.design_effect(running, each) for each in (CONTROL, arm))


def _histogram(buckets: Mapping[str, int]) -> LogHistogram:
    return LogHistogram({int(bucket): count for bucket, count in buckets.items() if count})


def _means_added(state: State, sums: Sequence[ArmSums]) -> State:
    means = dict(state.means)
    for each in sums:
        for metric, came in sorted(each.means.items()):
            if not _has_room(metric, means):
                continue
            by_cell = {int(cell): values for cell, values in came.cells.items()}
            means[metric] = cells.added(means.get(metric), str(each.phase), each.arm, by_cell)
    return replace(state, means=means)


def _scaled(state: State) -> State:
    """Fix what size of effect is looked for in metrics that the plan says nothing of."""
    scales = dict(state.scales)
    for metric, running in state.means.items():
        if metric not in scales and running.values(CONTROL) >= _SCALE_VALUES:
            deviation = running.deviation(CONTROL)
            if math.isfinite(deviation) and deviation > 0:
                scales[metric] = _SCALE_SHARE * deviation
    return replace(state, scales=scales)
