"""The wealth of a bettor."""

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.errors import Invalid
from herdbook.stats.evidence import level
from herdbook.stats.wagers import RESERVE, Wealth

WAGERS = st.tuples(st.floats(-50, 50), st.floats(-50, 50))


def _by_the_definition(batches: list[tuple[float, float]]) -> float:
    number = len(batches)
    whole = RESERVE / number
    for start in range(1, number + 1):
        stake = 1 - RESERVE if start == 1 else RESERVE / (start * (start - 1))
        for alternative in range(2):
            late = math.fsum(batch[alternative] for batch in batches[start - 1 :])
            whole += stake * math.exp(late) / 2
    return math.log(whole)


@given(st.lists(WAGERS, min_size=1, max_size=8))
def test_wealth_is_the_mixture_it_is_said_to_be(batches: list[tuple[float, float]]) -> None:
    wealth = Wealth.at_start(2)

    seen = [0.0]
    for batch in batches:
        wealth = wealth.after(batch)
        seen.append(wealth.log_e)

    assert wealth.log_e == pytest.approx(_by_the_definition(batches), abs=1e-9)
    assert wealth.peak == max(seen)


def test_fair_bets_keep_an_expectation_of_one() -> None:
    # A coin that doubles one alternative's stake or leaves nearly nothing of it, six times over.
    up, down = math.log(1.9), math.log(0.1)
    ends = []
    for tosses in product((up, down), repeat=6):
        wealth = Wealth.at_start(2)
        for toss in tosses:
            wealth = wealth.after((toss, 0.0))
        ends.append(math.exp(wealth.log_e))

    assert math.fsum(ends) / len(ends) == pytest.approx(1, abs=1e-12)


def _batches_to_prove(wealth: Wealth, wager: float) -> int:
    for number in range(1, 10_000):
        wealth = wealth.after((wager,))
        if wealth.log_e >= level(0.05):
            return number
    raise AssertionError("never")


def test_a_fault_that_starts_late_is_found_nearly_as_soon() -> None:
    long_harmless = Wealth.at_start(1)
    for _ in range(5_000):
        long_harmless = long_harmless.after((-0.5,))

    assert _batches_to_prove(Wealth.at_start(1), 0.5) == 7
    # Wealth without a reserve would stand at -2500 nats: another 5000 batches.
    assert _batches_to_prove(long_harmless, 0.5) < 50


def test_wealth_that_was_damaged_in_storage_does_not_exist() -> None:
    for logs, peak in (((math.nan,), 0.0), ((0.0,), math.nan), ((0.0,), -1.0)):
        with pytest.raises(Invalid, match="damaged"):
            Wealth(1, logs, peak)


def test_a_lost_bet_of_any_size_is_no_ruin() -> None:
    wealth = Wealth.at_start(2).after((-1e12, -1e12))

    assert wealth.log_e == pytest.approx(math.log(RESERVE))
    assert wealth.peak == 0


@pytest.mark.parametrize("wager", [math.nan, math.inf, -math.inf])
def test_a_wager_is_a_number(wager: float) -> None:
    with pytest.raises(Invalid, match="finite"):
        Wealth.at_start(1).after((wager,))


def test_every_alternative_is_wagered_on() -> None:
    with pytest.raises(Invalid, match="1 wagers on 2"):
        Wealth.at_start(2).after((0.0,))
    with pytest.raises(Invalid, match="alternative"):
        Wealth.at_start(0)
