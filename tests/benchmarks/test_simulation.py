"""The simulation judges with the code that judges real traffic; its figures are for the docs."""

from benchmarks import simulation
from benchmarks.simulation import NAIVE_100, OURS, PLAN, Scenario
from herdbook.services.rehearsing import World


def test_every_rule_judges_the_same_traffic() -> None:
    scenario = Scenario(
        what="much harm", plan=PLAN, world=World(error_increase=0.3), least_rolled_back=100.0
    )

    found = simulation.judged(scenario, runs=3, with_peer=False)

    assert found[OURS].percent("R") == 100
    assert found[NAIVE_100].percent("R") == 100
    assert (found[OURS].after("R") or 0) <= 200
    assert found[OURS].text().startswith("0.0 % / 100.0 % (")


def test_every_line_of_the_table_asks_for_something() -> None:
    asked = {
        scenario.what
        for scenario in simulation.SCENARIOS
        if min(scenario.most_promoted, scenario.most_rolled_back) < 100
        or max(scenario.least_promoted, scenario.least_rolled_back) > 0
    }

    assert asked == {scenario.what for scenario in simulation.SCENARIOS}
    assert len(asked) == len(simulation.SCENARIOS)
