"""Evidence is folded in the order of batches, kept as JSON, and replayed to the same bits."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from herdbook.core import wire
from herdbook.core.experiments import Plan
from herdbook.core.guardrails import Guardrail
from herdbook.core.recording import ArmSums, CellSums
from herdbook.errors import Invalid
from herdbook.services.deciding import evaluated
from herdbook.services.evidence import (
    HARM,
    NOT_INFERIOR,
    Stake,
    State,
    claims,
    folded,
    started,
)
from herdbook.services.rehearsing import World, batches
from herdbook.stats import quantiles, rates
from herdbook.stats.evidence import level
from herdbook.stats.histograms import LogHistogram
from herdbook.stats.quantiles import LatencyBatch, QuantileClaim
from herdbook.stats.rates import Counts, RateBatch
from tests.services.recorded import (
    BEGUN,
    HOUR,
    PHASES,
    a_plan,
    after,
    histogram,
    said,
    sums,
)
from tests.stats.traffic import alarms, allowed

WATCHING = a_plan(
    treatments=("v2.2.0", "v2.3.0"),
    ramp=(1.0, 10.0, 60.0),
    guardrails=(
        Guardrail(metric="inference_time_ms", quantile=0.95),
        Guardrail(metric="tokens", margin=3.0),
    ),
)
ARMS = ("control", "treatment-1", "treatment-2")
COUNTS = st.integers(0, 60)


def _through_json(state: State) -> State:
    return wire.value(State, json.loads(wire.dumps(state)))


@st.composite
def arm_sums(draw: st.DrawFn) -> ArmSums:
    """What one arm of the plan with everything did."""
    results = draw(COUNTS)
    errors = draw(st.integers(0, results))
    values = st.floats(0, 1).map(lambda x: (1.0, x, x * x))
    by_cell = st.dictionaries(st.integers(0, 1023).map(str), values, max_size=5)
    return sums(
        draw(st.sampled_from(ARMS)),
        results=results,
        errors=errors,
        phase=draw(st.integers(1, 3)),
        first=draw(st.booleans()),
        lost=draw(st.integers(0, 2)),
        means={
            metric: CellSums(cells=draw(by_cell))
            for metric in ("confidence", "error", "inference_time_ms", "tokens")
        },
        histograms={"inference_time_ms": histogram({draw(st.floats(1, 1e4)): results + 1})},
    )


BATCHES = st.lists(st.lists(arm_sums(), min_size=1, max_size=5).map(tuple), max_size=6)


@given(BATCHES)
@settings(max_examples=15)
def test_evidence_goes_to_json_and_back_bit_by_bit(given: list[tuple[ArmSums, ...]]) -> None:
    state = after(WATCHING, given, at=BEGUN)

    assert _through_json(state) == state
    assert wire.dumps(_through_json(state)) == wire.dumps(state)


@given(BATCHES)
@settings(max_examples=15)
def test_a_replay_of_the_kept_batches_gives_the_same_evaluation(
    given: list[tuple[ArmSums, ...]],
) -> None:
    state = started(WATCHING)
    for batch in given:
        # As the register does it: the evidence is written and read again between two batches.
        state = _through_json(folded(WATCHING, state, batch, at=BEGUN))
    kept = [wire.value(tuple[ArmSums, ...], json.loads(wire.dumps(batch))) for batch in given]

    replayed = after(WATCHING, kept, at=BEGUN)

    now = BEGUN + HOUR
    first = wire.dumps(evaluated(WATCHING, PHASES, state, now, BEGUN))
    assert wire.dumps(evaluated(WATCHING, PHASES, replayed, now, BEGUN)) == first


@given(st.lists(arm_sums(), min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=15)
def test_the_order_of_deltas_inside_a_batch_does_not_matter(
    deltas: list[ArmSums], order: object
) -> None:
    shuffled = list(deltas)
    order.shuffle(shuffled)  # type: ignore[attr-defined]

    one, two = (after(WATCHING, [tuple(each)]) for each in (deltas, shuffled))

    assert one.tallies == two.tallies
    assert one.stakes == two.stakes
    # Sums of floats may differ in their last bit.
    for metric, running in one.means.items():
        for arm in ARMS:
            mean = two.means[metric].mean(arm)
            assert running.mean(arm) == pytest.approx(mean, rel=1e-12, nan_ok=True)


def test_the_evidence_is_that_of_the_statistics() -> None:
    plan = a_plan()
    given = [
        (sums("control", results=60, errors=3), sums("treatment", results=50, errors=9)),
        (sums("control", results=40, errors=0), sums("treatment", results=70, errors=4)),
        (sums("control", results=30, errors=1, phase=2), sums("treatment", results=30, phase=2)),
    ]

    state = after(plan, given)

    for name, claim in claims(plan).items():
        evidence = rates.start(claim)
        for control, treatment, stratum in (
            (Counts(60, 3), Counts(50, 9), "1"),
            (Counts(40, 0), Counts(70, 4), "1"),
            (Counts(30, 1), Counts(30, 0), "2"),
        ):
            evidence = rates.observe(evidence, RateBatch(control, treatment, stratum))
        assert state.stakes_of("treatment").rates[name] == Stake.of(evidence.wealth)


def test_results_are_gathered_before_they_are_bet_on() -> None:
    plan = a_plan()
    few = (sums("control", results=9), sums("treatment", results=9))

    once, twice = after(plan, [few]), after(plan, [few, few])

    assert once.stakes_of("treatment").rates[HARM].batches == 0
    assert twice.stakes_of("treatment").rates[HARM].batches == 1
    merged = after(plan, [(sums("control", results=18), sums("treatment", results=18))])
    assert twice.stakes == merged.stakes


def test_an_arm_that_gets_nothing_does_not_hold_the_others() -> None:
    plan = a_plan(treatments=("v2.2.0", "v2.3.0"))
    batch = (sums("control", results=200, errors=2), sums("treatment-1", results=200, errors=50))

    state = after(plan, [batch])

    assert state.stakes_of("treatment-1").rates[HARM].peak > level(0.001)
    assert state.stakes_of("treatment-2").rates[HARM].peak == 0


def test_a_unit_that_comes_again_is_no_further_evidence_of_rates() -> None:
    plan = a_plan()
    batch = (sums("control", results=100, errors=2), sums("treatment", results=100, errors=2))
    again = (
        sums("control", results=100, errors=0, first=False),
        sums("treatment", results=100, errors=60, first=False),
    )

    once, twice = after(plan, [batch]), after(plan, [batch, again])

    assert twice.stakes == once.stakes
    assert sum(tally.errors for tally in twice.tallies) == 64


def test_results_without_a_unit_and_lost_calls_stand_alone() -> None:
    plan = a_plan()
    alone = (
        sums("control", results=100, errors=2, first=False, alone=100, alone_errors=2),
        sums("treatment", results=80, errors=2, first=False, alone=80, alone_errors=2, lost=20),
    )
    firsts = (sums("control", results=100, errors=2), sums("treatment", results=100, errors=22))

    assert after(plan, [alone]).stakes == after(plan, [firsts]).stakes


def test_what_the_plan_does_not_have_is_left_out() -> None:
    plan = a_plan()

    assert after(plan, [(sums("challenger"),)]) == replace(started(plan), batches=1)


@pytest.mark.parametrize(
    "damaged",
    [
        sums("control", alone=-3),
        sums("control", means={"confidence": CellSums(cells={"3": (1, float("nan"), 1)})}),
        sums("control", histograms={"inference_time_ms": {"700": 4}}),
    ],
)
def test_what_cannot_be_is_refused(damaged: ArmSums) -> None:
    plan = a_plan(guardrails=(Guardrail(metric="inference_time_ms", quantile=0.95),))

    with pytest.raises(Invalid):
        after(plan, [(damaged, sums("treatment"))])


def test_a_billion_results_cost_what_a_thousand_cost() -> None:
    plan = replace(WATCHING, treatments=("v2.2.0",), ramp=(1.0, 10.0, 50.0)).checked()
    costs, state = [], started(plan)
    for factor in (1, 1_000_000):
        state = started(plan)
        for _, _, batch in batches(plan, World(), range(100, 1001, 100), seed="1"):
            state = folded(plan, state, tuple(_many(sums, factor) for sums in batch))
        costs.append(min(_seconds(plan, state) for _ in range(5)))

    assert sum(t.results for t in state.tallies) == 10**9
    assert costs[1] < 0.05
    assert costs[1] < 5 * costs[0]


def _many(one: ArmSums, factor: int) -> ArmSums:
    """As if everything had come so many times."""
    means = {
        metric: CellSums(
            cells={cell: tuple(factor * x for x in each) for cell, each in held.cells.items()}
        )
        for metric, held in one.means.items()
    }
    return replace(
        one,
        results=factor * one.results,
        errors=factor * one.errors,
        firsts=(),
        first_errors=(),
        means=means,
        alone=factor * one.results,
        alone_errors=factor * one.errors,
    )


def _seconds(plan: Plan, state: State) -> float:
    began = time.process_time()
    batch = (sums("control"), sums("treatment"))
    evaluated(plan, PHASES, folded(plan, state, batch), BEGUN + HOUR, BEGUN)
    return time.process_time() - began


def test_slow_answers_of_the_same_units_are_no_alarm() -> None:
    guardrail = Guardrail(metric="inference_time_ms", quantile=0.95)
    plan = a_plan(guardrails=(guardrail,))
    runs, users = 40, 60

    def peaks(rng: np.random.Generator) -> tuple[float, float]:
        """With what units are worth, and as if each value were a unit of its own."""
        level_of, arm = rng.normal(size=users), rng.integers(2, size=users)
        cell = rng.integers(1024, size=users)
        state, naive = started(plan), quantiles.start(QuantileClaim(0.95))
        for _ in range(30):
            user = rng.integers(users, size=200)
            times = 50 * np.exp(0.6 * (0.9 * level_of[user] + 0.4 * rng.normal(size=200)))
            batch, histograms = [], []
            for at, name in enumerate(("control", "treatment")):
                own = arm[user] == at
                by_cell: dict[str, tuple[float, ...]] = {}
                for of, value in zip(cell[user[own]].tolist(), times[own].tolist(), strict=True):
                    n, x, q = by_cell.get(str(of), (0.0, 0.0, 0.0))
                    by_cell[str(of)] = (n + 1, x + value, q + value * value)
                held = LogHistogram.of(times[own].tolist())
                histograms.append(held)
                batch.append(
                    sums(
                        name,
                        results=int(own.sum()),
                        first=False,
                        means={"inference_time_ms": CellSums(cells=by_cell)},
                        histograms={
                            "inference_time_ms": {str(k): n for k, n in held.counts.items()}
                        },
                    )
                )
            state = folded(plan, state, tuple(batch))
            naive = quantiles.observe(naive, LatencyBatch(histograms[0], histograms[1]))
        return state.stakes_of("treatment").quantiles[guardrail.name].peak, naive.peak

    found = [peaks(rng) for rng in np.random.default_rng(3).spawn(runs)]

    assert sum(ours >= level(0.05) for ours, _ in found) <= allowed(runs)
    # Negative control: as if requests were independent.
    assert sum(naive >= level(0.05) for _, naive in found) > allowed(runs)


def test_harmless_treatments_are_proven_not_inferior() -> None:
    plan = a_plan()

    found = said(plan, [(sums("control", errors=2), sums("treatment", errors=2))] * 5)

    assert found.treatments[0].proof(NOT_INFERIOR).proven
    assert not found.treatments[0].proof(HARM).proven


def test_looking_all_the_time_at_equal_versions_raises_few_alarms() -> None:
    plan, runs = a_plan(), 60

    def naive(rng: np.random.Generator) -> bool:
        failed = np.cumsum(rng.random((2, 50, 50)) < 0.02, axis=2)[:, :, -1].cumsum(axis=1)
        seen = 50 * np.arange(1, 51)
        rate = failed / seen
        error = np.sqrt((rate * (1 - rate) / seen).sum(axis=0))
        return bool((np.diff(rate, axis=0)[0][3:] > 1.645 * error[3:]).any())

    def ours(rng: np.random.Generator) -> bool:
        state = started(plan)
        for failed in (rng.random((2, 50, 50)) < 0.02).sum(axis=2).T.tolist():
            state = folded(
                plan,
                state,
                tuple(
                    sums(arm, results=50, errors=errors, means={})
                    for arm, errors in zip(("control", "treatment"), failed, strict=True)
                ),
            )
        return state.stakes_of("treatment").rates[HARM].peak >= level(0.05)

    assert alarms(ours, runs=runs, seed=2) <= allowed(runs)
    assert alarms(naive, runs=runs, seed=2) > allowed(runs)
