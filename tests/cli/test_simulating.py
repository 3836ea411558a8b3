"""Plans tried on made-up traffic, on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run, in_own_process


def shown(run: Run, *words: str) -> Any:
    """What a command says as JSON."""
    answer = run(*words, "--json")
    assert (answer.status, answer.err) == (0, ""), answer.err
    return json.loads(answer.out)


SIMULATED = ("experiments", "simulate", "majora", "v3", "--runs", "10", "--seed", "7")


def test_a_simulation_needs_no_register_and_comes_out_the_same(run: Run) -> None:
    said = shown(run, *SIMULATED, "--error-increase", "0.3")

    assert said == shown(run, *SIMULATED, "--error-increase", "0.3")
    assert (said["runs"], said["rolled_back"], said["promoted"]) == (10, 10, 0)
    assert said["rolled_back_after"] > 0
    assert list(Path().iterdir()) == []


def test_a_simulation_tells_shares_and_leaves_its_progress_to_standard_error(run: Run) -> None:
    answer = run(*SIMULATED, "--error-increase", "0.3")

    title, *lines = answer.out.splitlines()
    assert (answer.status, title) == (0, "10 experiments on made-up traffic")
    assert lines[1].startswith("  rolled back   100.0%, half of them after ")
    shares = [float(line.split("%")[0].split()[-1]) for line in lines]
    assert sum(shares) == pytest.approx(100)
    assert run(*SIMULATED, "-q", "--error-increase", "0.3").out == "0\n"
    own = in_own_process(*SIMULATED, "--json")
    assert json.loads(own.out)["runs"] == 10


def test_a_seed_gives_other_traffic_and_options_of_a_plan_count(run: Run) -> None:
    gain = ("--confidence-gain", "0.05", "--min-requests", "100")

    ones = shown(run, *SIMULATED, *gain)
    others = shown(run, *SIMULATED[:-1], "8", *gain)
    shy = shown(run, *SIMULATED, *gain, "--min-requests", "1000000")
    users = shown(run, *SIMULATED, *gain, "--units", "500", "--correlation", "0.3")
    ramp = shown(run, *SIMULATED[:4], "v4", *SIMULATED[4:], *gain, "--ramp", "5,50")

    assert ones != others
    assert ones["promoted"] > 0
    assert shy["promoted"] == 0
    assert users != ones
    assert ramp["runs"] == 10


def test_a_plan_says_what_it_takes_to_decide(run: Run) -> None:
    done = run("experiments", "plan", "gnn", "v2.2", "--requests-per-day", "20000")

    assert done.status == 0
    assert "confidence is higher" in done.out
    assert "A promotion takes about 2,150 requests, 0.107 days." in done.out


def test_users_who_come_again_take_more_requests(run: Run) -> None:
    words = ("experiments", "plan", "gnn", "v2.2", "--requests-per-day", "20000", "--json")
    alone, again = (
        json.loads(run(*words, *more).out) for more in ((), ("--units-per-day", "1000"))
    )

    assert again["design_effect"] > alone["design_effect"] == 1
    assert again["promotion_requests"] > alone["promotion_requests"]


@pytest.mark.parametrize(
    "words", [("--gain", "-1"), ("--base-rate", "2"), ("--correlation", "nan")]
)
def test_what_cannot_be_assumed_is_refused(run: Run, words: tuple[str, str]) -> None:
    assert run("experiments", "plan", "gnn", "v2.2", *words).status == 2
