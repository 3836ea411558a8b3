"""What one who may do little tries with experiments, in every database."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from herdbook.core.experiments import State
from herdbook.errors import Invalid
from herdbook.services import experiments, leading
from tests.experiments import arm, fold, served, start
from tests.registers import Register


@pytest.fixture
def register(register: Register) -> Register:
    """A register in which two models are tried."""
    served(register)
    served(register, "oracle")
    start(register)
    start(register, "other", model="oracle")
    return register


def damage(register: Register) -> None:
    """Change what waits for gnn_test to what no worker can tell."""
    fold(register, arm(results=30, histograms={"inference_time_ms": {"7": 30}}))
    with register.database.writing() as connection:
        connection.execute(text("""UPDATE deltas SET doc = replace(doc, '"7"', '"x"')"""))


def test_what_waits_damaged_keeps_no_other_experiment_waiting(register: Register) -> None:
    damage(register)
    fold(register, arm(results=30, alone=30), experiment="other", sequence=2)
    register.clock.at += timedelta(minutes=11)

    done = register.write(leading.advance)

    assert done.looked == 2
    assert [each.split(":")[0] for each in done.acted] == ["gnn_test cannot be looked at"]
    assert register.read(leading.evaluation, "other").arms[0].results == 30


def test_an_experiment_whose_results_are_damaged_can_be_ended(register: Register) -> None:
    damage(register)

    assert register.write(leading.finalize, "gnn_test").state is State.ENDED
    assert register.read(experiments.get, "gnn_test").state is State.ENDED


def test_a_clock_that_was_ahead_for_a_while_stops_no_looks(register: Register) -> None:
    register.clock.at += timedelta(days=3650)
    register.write(leading.advance)
    register.clock.at -= timedelta(days=3650)

    assert register.read(leading.due)
    assert register.write(leading.advance).looked == 2


def test_nobody_takes_the_units_of_another_model(register: Register) -> None:
    served(register, "majora")

    with pytest.raises(Invalid) as caught:
        start(register, "mine", model="majora", exclusion="model:gbert")

    assert caught.value.field == "exclusion"


def test_a_plan_has_no_attributes_and_stages_without_end(register: Register) -> None:
    served(register, "majora")

    with pytest.raises(Invalid, match="attributes"):
        start(register, "a", model="majora", targeting={f"a{n}": ("x",) for n in range(51)})
    with pytest.raises(Invalid, match="stages"):
        start(register, "b", model="majora", ramp=tuple(0.1 * n for n in range(1, 102)))
