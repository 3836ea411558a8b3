"""Simulated experiments: promises hold, and bare averages break them on the same traffic."""

from dataclasses import replace
from statistics import fmean, pstdev

import pytest

from herdbook.core.experiments import Policy
from herdbook.core.recording import ArmSums
from herdbook.errors import Invalid
from herdbook.services.rehearsing import World, batches, lengthening, rehearsed
from tests.services.recorded import a_plan
from tests.stats.traffic import allowed

RUNS = 30
ENDS = lengthening(4_000, 12)
BARE = a_plan(policy=Policy.THRESHOLDS_ONLY)


def _all(world: World, requests: int = 20_000) -> list[ArmSums]:
    return [arm for _, _, batch in batches(a_plan(), world, [requests], seed="1") for arm in batch]


def test_equal_versions_are_rarely_promoted_and_bare_averages_often() -> None:
    plan = a_plan(treatment_traffic_pct=10.0, min_requests=50)

    ours = rehearsed(plan, World(), ends=ENDS, runs=RUNS)
    bare = rehearsed(replace(plan, policy=Policy.THRESHOLDS_ONLY), World(), ends=ENDS, runs=RUNS)

    assert max(ours.promoted, ours.rolled_back) <= allowed(RUNS)
    assert bare.promoted > allowed(RUNS)


def test_sticky_users_do_not_mislead() -> None:
    world = World(units=150, correlation=0.3)
    looks = range(100, 4_001, 100)

    ours = rehearsed(a_plan(min_requests=50), world, ends=looks, runs=RUNS)
    bare = rehearsed(replace(BARE, min_requests=50), world, ends=looks, runs=RUNS)

    assert max(ours.promoted, ours.rolled_back) <= allowed(RUNS)
    assert bare.promoted > allowed(RUNS)


def test_a_ramp_that_meets_a_drift_does_not_mislead() -> None:
    plan = a_plan(ramp=(1.0, 10.0, 50.0))
    world = World(drift=0.1, confidence_drift=-0.1)

    found = rehearsed(plan, world, ends=ENDS, runs=RUNS)

    assert max(found.promoted, found.rolled_back) <= allowed(RUNS)


def test_a_better_version_is_promoted_and_a_harmful_one_rolled_back() -> None:
    better = rehearsed(a_plan(), World(confidence_gain=0.04), ends=ENDS, runs=20)
    harmful = rehearsed(a_plan(), World(error_increase=0.1), ends=ENDS, runs=20)

    assert better.promoted >= 18
    assert harmful.rolled_back == 20
    assert harmful.rolled_back_after is not None
    assert harmful.rolled_back_after < 600
    assert harmful.promoted_after is None


def test_confidence_with_more_errors_is_not_promoted() -> None:
    world = World(confidence_gain=0.025, error_increase=0.04)

    ours = rehearsed(a_plan(), world, ends=ENDS, runs=RUNS)
    bare = rehearsed(BARE, world, ends=ENDS, runs=RUNS)

    assert ours.promoted <= allowed(RUNS)
    assert bare.promoted > RUNS / 4


def test_the_same_seed_gives_the_same_rehearsal() -> None:
    one, two = (rehearsed(a_plan(), World(), ends=ENDS, runs=3, seed=5) for _ in range(2))

    assert one == two
    traffic = [list(batches(a_plan(), World(), [50], seed=seed)) for seed in ("1", "2")]
    assert traffic[0] != traffic[1]


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []

    rehearsed(
        a_plan(), World(), ends=[200], runs=3, progress=lambda done, of: told.append((done, of))
    )

    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_traffic_is_what_was_asked_for() -> None:
    control, treatment = _all(World(error_increase=0.08, confidence_gain=0.05))

    assert control.results + treatment.results == 20_000
    assert control.results == pytest.approx(10_000, rel=0.05)
    assert control.errors / control.results == pytest.approx(0.02, abs=0.006)
    assert treatment.errors / treatment.results == pytest.approx(0.1, abs=0.012)
    for arm, mean in ((control, 0.8), (treatment, 0.85)):
        counts = arm.means["confidence"].cells.values()
        found = sum(total for _, total, _ in counts) / arm.results
        squares = sum(square for _, _, square in counts) / arm.results
        assert found == pytest.approx(mean, abs=0.006)
        assert squares - found**2 == pytest.approx(0.16**2, rel=0.05)


def test_units_that_come_again_are_first_once() -> None:
    arms = _all(World(units=50, correlation=0.3), requests=5_000)

    assert sum(len(arm.firsts) + len(arm.first_errors) for arm in arms) == 50


def test_sticky_users_differ_from_one_another() -> None:
    def spread(correlation: float) -> float:
        (control, _) = _all(World(units=100, correlation=correlation))
        means = [total / n for n, total, _ in control.means["confidence"].cells.values() if n > 50]
        assert fmean(means) == pytest.approx(0.8, abs=0.05)
        return pstdev(means)

    assert spread(0.3) == pytest.approx(0.16 * 0.3**0.5, rel=0.4)
    assert spread(0.0) < 0.03


@pytest.mark.parametrize(
    "given",
    [
        {"error_rate": 1.2},
        {"error_increase": 0.99},
        {"confidence": 0.99, "deviation": 0.2},
        {"correlation": 1.0},
        {"units": 0},
    ],
)
def test_a_world_that_cannot_be_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(Invalid):
        World(**given)  # type: ignore[arg-type]


def test_a_rehearsal_without_runs_or_looks_is_refused() -> None:
    with pytest.raises(Invalid, match="runs"):
        rehearsed(a_plan(), World(), runs=0)
    with pytest.raises(Invalid, match="looks"):
        rehearsed(a_plan(), World(), ends=[300, 200])
    with pytest.raises(Invalid, match="looks"):
        lengthening(10, 20)
