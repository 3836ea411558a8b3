"""How often a plan would decide wrongly: made-up traffic, judged by what judges real traffic."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate, pairwise
from random import Random
from statistics import median
from typing import Final

from herdbook.core.decisions import Evaluation
from herdbook.core.experiments import CONFIDENCE, Decision, Phase, Plan
from herdbook.core.recording import CELLS, ArmSums, CellSums
from herdbook.errors import Invalid
from herdbook.services.deciding import evaluated
from herdbook.services.evidence import ERROR, folded, started

Progress = Callable[[int, int], None]

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
# A distribution is drawn from so many of its quantiles, found on a finer grid.
_QUANTILES: Final = 4096
_GRID: Final = 1 << 15
_ROOT_HALF: Final = math.sqrt(0.5)
# Some users come a hundred times as often as others.
_POPULARITY: Final = 1.0
RUNS_LIMIT: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What traffic is like, and what treatments really are.

    Args:
        error_rate: control's, 0 to 1; the treatment's is that and `error_increase`.
        error_increase: of the treatment, -1 to 1.
        confidence: control's mean, between 0 and 1.
        confidence_gain: of the treatment, -1 to 1.
        deviation: standard deviation of confidence; Beta distributed.
        units: how many units come again and again; None: every request is of a new one.
        correlation: of two requests of the same unit, 0 or more and below 1.
        drift: what is added to everybody's error rate until the end, evenly.
        confidence_drift: the same to confidences.
        shares: treatment's share of the traffic in each stage in place of the plan's.
    """

    error_rate: float = 0.02
    error_increase: float = 0.0
    confidence: float = 0.8
    confidence_gain: float = 0.0
    deviation: float = 0.16
    units: int | None = None
    correlation: float = 0.0
    drift: float = 0.0
    confidence_drift: float = 0.0
    shares: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        rates = [self.error_rate, self.error_rate + self.error_increase]
        rates += [rate + self.drift for rate in rates]
        if not all(0 <= rate <= 1 for rate in rates):
            raise Invalid("error rates lie between 0 and 1, with increase and drift too")
        for mean in (self.confidence, self.confidence + self.confidence_gain):
            if not (0 < mean < 1 and 0 < self.deviation < math.sqrt(mean * (1 - mean))):
                raise Invalid(
                    f"no confidence between 0 and 1 has the mean {mean:g} and the standard "
                    f"deviation {self.deviation:g}",
                    field="confidence",
                )
        if not 0 <= self.correlation < 1 or (self.units is not None and self.units < 1):
            raise Invalid("a correlation is at least 0 and below 1, and units are at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What became of simulated experiments.

    Args:
        runs: how many.
        promoted: how many promoted a treatment.
        rolled_back: how many went back to the control.
        held: how many ended on hold; the rest ended without a decision.
        promoted_after: requests, the median of those that promoted.
        rolled_back_after: the same of those that rolled back.
    """

    runs: int
    promoted: int
    rolled_back: int
    held: int
    promoted_after: float | None
    rolled_back_after: float | None


def rehearsed(
    plan: Plan,
    world: World,
    *,
    ends: Sequence[int] | None = None,
    runs: int = 200,
    seed: int = 1,
    progress: Progress | None = None,
) -> Rehearsal:
    """Run an experiment many times on made-up traffic: a pure function of its arguments.

    Args:
        plan: what is tried out; its days are spread over the requests.
        world: what is true.
        ends: when to look, as requests of all arms together, rising; left out, 25 times in 10,000
            requests, ever more seldom.
        runs: how many, 1 to 100,000.
        seed: other seeds give other traffic.
        progress: told how many runs of how many are done.

    Raises:
        Invalid: an argument is outside its range.
    """
    ends = lengthening(10_000, 25) if ends is None else ends
    rising = all(low < high for low, high in pairwise((0, *ends)))
    if not (1 <= runs <= RUNS_LIMIT and ends and rising):
        raise Invalid(f"there are 1 to {RUNS_LIMIT} runs, and looks after ever more requests")
    found: list[tuple[Decision, int]] = []
    for run in range(runs):
        last = (Decision.CONTINUE, 0)
        for done, _, evaluation in watched(plan, world, ends, seed=f"{seed}:{run}"):
            last = evaluation.decision, done
            if evaluation.decision in (Decision.PROMOTE, Decision.ROLLBACK):
                break
        found.append(last)
        if progress is not None:
            progress(run + 1, runs)
    return _summed(found)


def watched(
    plan: Plan, world: World, ends: Sequence[int], *, seed: str
) -> Iterator[tuple[int, tuple[ArmSums, ...], Evaluation]]:
    """Look at one simulated experiment after so many requests, as the register would.

    Yields:
        Requests so far, what came since the last look, and what the evidence says.
    """
    state = started(plan)
    for done, phases, batch in batches(plan, world, ends, seed=seed):
        now = moment(plan, done / ends[-1])
        state = folded(plan, state, batch, at=now)
        yield done, batch, evaluated(plan, phases, state, now, START)


def moment(plan: Plan, share: float) -> datetime:
    """Give when a share of the requests is over: just before the plan's days are, for all."""
    return START + 0.999 * share * timedelta(days=plan.duration_days)


def batches(
    plan: Plan, world: World, ends: Sequence[int], *, seed: str
) -> Iterator[tuple[int, tuple[Phase, ...], tuple[ArmSums, ...]]]:
    """Give made-up traffic: requests so far, the phases so far, and what came since.

    A plan with a ramp goes through its stages, an even part of the requests each.
    """
    traffic = _Traffic(plan, world, Random(seed))  # noqa: S311 - no secret
    stages = max(len(plan.coverages), len(world.shares))
    phases: list[Phase] = []
    done = 0
    for end in ends:
        stage = min(stages - 1, done * stages // ends[-1])
        if stage == len(phases):
            coverage = plan.coverages[min(stage, len(plan.coverages) - 1)]
            phases.append(Phase(number=stage + 1, coverage=coverage, at=START))
        batch = traffic.batch(phases[-1], end - done, done / ends[-1])
        done = end
        yield done, tuple(phases), batch


def lengthening(requests: int, looks: int) -> tuple[int, ...]:
    """Give when to look: after so many requests, the batches growing by the same factor.

    Raises:
        Invalid: there is no look, or there are more looks than requests.
    """
    if not 1 <= looks <= requests:
        raise Invalid(f"there are 1 to {requests} looks, not {looks}", field="looks")
    low = min(100.0, requests / looks)
    growth = (requests / low) ** (1 / max(1, looks - 1))
    ends = [round(low * growth**look) for look in range(looks - 1)] + [requests]
    return tuple(sorted({max(1, min(end, requests)) for end in ends}))


def _summed(found: Sequence[tuple[Decision, int]]) -> Rehearsal:
    after = {decision: [done for each, done in found if each is decision] for decision in Decision}
    promoted, rolled_back = after[Decision.PROMOTE], after[Decision.ROLLBACK]
    return Rehearsal(
        runs=len(found),
        promoted=len(promoted),
        rolled_back=len(rolled_back),
        held=len(after[Decision.HOLD]),
        promoted_after=median(promoted) if promoted else None,
        rolled_back_after=median(rolled_back) if rolled_back else None,
    )


class _Traffic:
    """Units that come, are assigned, and whose requests succeed or not."""

    def __init__(self, plan: Plan, world: World, rng: Random) -> None:
        self._plan, self._world, self._rng = plan, world, rng
        self._names = [arm.name for arm in plan.arms]
        gains = [0.0] + [world.confidence_gain] * len(plan.treatments)
        tables = {gain: _beta(world.confidence + gain, world.deviation) for gain in set(gains)}
        self._tables = [tables[gain] for gain in gains]
        increase = world.error_increase
        self._errors = [world.error_rate] + [world.error_rate + increase] * len(plan.treatments)
        self._seen: set[int] = set()
        self._population(world.units or 0)

    def _population(self, units: int) -> None:
        rng, world = self._rng, self._world
        self._popularity = [rng.lognormvariate(0.0, _POPULARITY) for _ in range(units)]
        self._place = [rng.random() for _ in range(units)]
        # By phase, who takes part, and how popular they are added up.
        self._covered: dict[int, tuple[list[int], list[float]]] = {}
        self._variant = [rng.random() for _ in range(units)]
        self._cell = [rng.randrange(CELLS) for _ in range(units)]
        spread = math.sqrt(world.correlation)
        self._level = [spread * rng.gauss(0.0, 1.0) for _ in range(units)]
        # The same place in the distribution of propensities, whichever arm the unit is in.
        self._prone = [rng.getrandbits(64) for _ in range(units)]
        self._propensity: dict[tuple[int, int], float] = {}

    def batch(self, phase: Phase, requests: int, progress: float) -> tuple[ArmSums, ...]:
        """Give what some requests of a phase did, a share of the whole being over."""
        world = self._world
        shares = self._shares(phase)
        drift, moved = progress * world.drift, progress * world.confidence_drift
        arms = [_Sums() for _ in self._names]
        draw = self._stranger if world.units is None else self._regular
        for unit in self._coming(phase, requests):
            arm, cell, first, wrong, confidence = draw(unit, shares, drift)
            arms[arm].add(cell, first, wrong, min(1.0, max(0.0, confidence + moved)))
        return tuple(
            sums.of(phase.number, name)
            for name, sums in zip(self._names, arms, strict=True)
            if sums.results
        )

    def _coming(self, phase: Phase, requests: int) -> Sequence[int]:
        """The units of some requests, the more popular ones more often."""
        if self._world.units is None:
            return range(requests)
        if phase.number not in self._covered:
            units = [at for at, place in enumerate(self._place) if place < phase.coverage]
            popularity = accumulate(self._popularity[unit] for unit in units)
            self._covered[phase.number] = units, list(popularity)
        units, weights = self._covered[phase.number]
        return self._rng.choices(units, cum_weights=weights, k=requests) if units else ()

    def _shares(self, phase: Phase) -> list[float]:
        """Up to where of 0 to 1 each arm reaches."""
        arms = [arm.share for arm in self._plan.arms]
        if self._world.shares:
            share = self._world.shares[min(phase.number, len(self._world.shares)) - 1]
            arms = [1 - share] + [share / (len(arms) - 1)] * (len(arms) - 1)
        return [math.fsum(arms[: at + 1]) for at in range(len(arms))]

    def _stranger(
        self, _: int, shares: list[float], drift: float
    ) -> tuple[int, int, bool, bool, float]:
        draw = self._rng.random
        arm = _arm(shares, draw())
        wrong = draw() < self._errors[arm] + drift
        return arm, int(draw() * CELLS), True, wrong, self._tables[arm][int(draw() * _QUANTILES)]

    def _regular(
        self, unit: int, shares: list[float], drift: float
    ) -> tuple[int, int, bool, bool, float]:
        rng, world = self._rng, self._world
        arm = _arm(shares, self._variant[unit])
        first = unit not in self._seen
        self._seen.add(unit)
        wrong = rng.random() < self._prone_to(unit, arm) + drift
        z = self._level[unit] + math.sqrt(1 - world.correlation) * rng.gauss(0.0, 1.0)
        place = int(math.erfc(-z * _ROOT_HALF) / 2 * _QUANTILES)
        table = self._tables[arm]
        return arm, self._cell[unit], first, wrong, table[min(place, _QUANTILES - 1)]

    def _prone_to(self, unit: int, arm: int) -> float:
        """How often a unit meets an error: Beta distributed, so that its requests correlate."""
        rate = self._errors[arm]
        if not self._world.correlation or not 0 < rate < 1:
            return rate
        if (unit, arm) not in self._propensity:
            many = 1 / self._world.correlation - 1
            own = Random(self._prone[unit])  # noqa: S311 - no secret
            self._propensity[unit, arm] = own.betavariate(rate * many, (1 - rate) * many)
        return self._propensity[unit, arm]


class _Sums:
    """What comes of one arm in one batch."""

    def __init__(self) -> None:
        self.results = self.errors = self.firsts = self.first_errors = 0
        self.cells: dict[int, list[float]] = {}

    def add(self, cell: int, first: bool, wrong: bool, confidence: float) -> None:  # noqa: FBT001
        self.results += 1
        self.errors += wrong
        if first:
            self.firsts += not wrong
            self.first_errors += wrong
        held = self.cells.get(cell)
        if held is None:
            self.cells[cell] = [1.0, confidence, confidence * confidence, float(wrong)]
        else:
            held[0] += 1
            held[1] += confidence
            held[2] += confidence * confidence
            held[3] += wrong

    def of(self, phase: int, arm: str) -> ArmSums:
        cells = {str(cell): tuple(held[:3]) for cell, held in self.cells.items()}
        wrong = {str(cell): (held[0], held[3], held[3]) for cell, held in self.cells.items()}
        return ArmSums(
            phase=phase,
            arm=arm,
            results=self.results,
            errors=self.errors,
            firsts=tuple(range(self.firsts)),
            first_errors=tuple(range(self.first_errors)),
            means={CONFIDENCE: CellSums(cells=cells), ERROR: CellSums(cells=wrong)},
        )


def _arm(shares: list[float], place: float) -> int:
    return next((at for at, end in enumerate(shares) if place < end), len(shares) - 1)


@lru_cache(maxsize=64)
def _beta(mean: float, deviation: float) -> tuple[float, ...]:
    """Quantiles of a Beta distribution, at the middles of as many equal shares."""
    many = mean * (1 - mean) / deviation**2 - 1
    a, b = mean * many - 1, (1 - mean) * many - 1
    middles = [(at + 0.5) / _GRID for at in range(_GRID)]
    weights = [math.exp(a * math.log(x) + b * math.log1p(-x)) for x in middles]
    whole, passed, at = math.fsum(weights), 0.0, 0
    found = []
    for quantile in range(_QUANTILES):
        wanted = (quantile + 0.5) / _QUANTILES * whole
        while at < _GRID - 1 and passed + weights[at] < wanted:
            passed += weights[at]
            at += 1
        found.append((at + min(1.0, (wanted - passed) / weights[at])) / _GRID)
    return tuple(found)
