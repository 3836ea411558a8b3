"""What every database promises of scores and operational averages."""

import pytest

from herdbook.core.evaluations import Observation, Operational, Served
from herdbook.core.models import Status
from herdbook.errors import Gone, Invalid
from herdbook.services import evaluations, summaries, versions
from tests.registers import Register


def test_the_newest_score_of_each_name_stands_and_all_are_kept(register: Register) -> None:
    register.add("majora:v1", metrics={"accuracy": 0.5}, metrics_dataset="oracle")
    register.write(evaluations.score, "majora:v1", metrics={"acc": 0.7, "loss": 1.5}, source="ci")
    register.write(evaluations.score, "majora:v1", metrics={"accuracy": 0.6})

    found = register.read(evaluations.history, "majora:v1", name="acc")

    assert [m.value for m in found.items] == [0.6, 0.7, 0.5]
    assert [m.dataset for m in found.items] == ["", "", "oracle"]
    assert found.items[1].source == "ci"
    assert register.read(versions.get, "majora:v1").metrics == {"accuracy": 0.6, "loss": 1.5}
    assert len(register.read(evaluations.history, "majora:v1").items) == 4


def test_history_comes_newest_first_page_by_page(register: Register) -> None:
    register.add("majora:v1")
    for at in range(7):
        register.write(evaluations.score, "majora:v1", metrics={"f1": at / 10})

    found, page = [], None
    while True:
        some = register.read(evaluations.history, "majora:v1", page_size=3, page=page)
        found += [m.value for m in some.items]
        if (page := some.next) is None:
            break

    assert found == [at / 10 for at in reversed(range(7))]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, True, "0.5", None])
def test_what_is_no_finite_number_is_refused(register: Register, value: float) -> None:
    register.add("majora:v1")

    with pytest.raises(Invalid, match=r"metrics\.f1"):
        register.write(evaluations.score, "majora:v1", metrics={"f1": value})

    assert register.count("metrics") == 0


@pytest.mark.parametrize("value", [0.1, -0.0, 1e-308, 1.7976931348623157e308, 5e-324, 1 / 3])
def test_scores_are_given_back_to_the_bit(register: Register, value: float) -> None:
    register.add("majora:v1", metrics={"x": value})

    assert repr(register.read(versions.get, "majora:v1").metrics["x"]) == repr(value)
    assert register.read(evaluations.history, "majora:v1").items[0].value == value


def test_two_spellings_of_one_metric_are_refused(register: Register) -> None:
    with pytest.raises(Invalid, match="spellings"):
        register.add("majora:v1", metrics={"f1": 0.1, "f1_score": 0.2})


def test_observations_add_up(register: Register) -> None:
    register.add("majora:v1")
    assert register.read(evaluations.operational, "majora:v1") == Operational()

    register.write(
        evaluations.observe,
        "majora:v1",
        observations=[
            Observation(inference_time_ms=10, confidence=0.5),
            Observation(inference_time_ms=30),
            Observation(error=True),
        ],
    )
    found = register.write(
        evaluations.observe, "majora:v1", observations=[Observation(confidence=1.0)]
    )

    assert found == Operational(count=4, inference_time_ms=20.0, confidence=0.75, error_rate=0.25)
    assert register.read(evaluations.operational, "majora:v1") == found


def observed(register: Register, ref: str, *observations: Observation) -> None:
    register.add(ref)
    register.write(evaluations.observe, ref, observations=list(observations))


def test_what_versions_served_is_given_as_sums_newest_first(register: Register) -> None:
    observed(register, "majora:v1", Observation(inference_time_ms=10, confidence=0.5))
    register.add("majora:v2")
    observed(register, "gnn:v1", Observation(error=True), Observation(confidence=0.25))

    found = register.read(lambda work: work.evaluations.served(limit=10))

    assert found == [
        Served(
            model="gnn", number="v1", count=2, errors=1, timed=0, time_ms=0.0, judged=1,
            confidence=0.25,
        ),
        Served(
            model="majora", number="v1", count=1, errors=0, timed=1, time_ms=10.0, judged=1,
            confidence=0.5,
        ),
    ]  # fmt: skip
    assert register.read(lambda work: work.evaluations.served(limit=1)) == found[:1]


def test_what_gone_or_archived_or_hidden_versions_served_is_not_given(register: Register) -> None:
    for ref in ("majora:v1", "majora:v2", "majora:v3", "gnn:v1"):
        observed(register, ref, Observation())

    register.write(versions.delete, "majora:v1")
    register.write(versions.set_status, "majora:v2", status=Status.ARCHIVED)

    def served(of: Register) -> list[str]:
        found = of.read(lambda work: work.evaluations.served(limit=10))
        return [f"{each.model}:{each.number}" for each in found]

    assert served(register) == ["gnn:v1", "majora:v3"]
    assert served(register.seen_by("viewer:gnn")) == ["gnn:v1"]
    assert served(register.seen_by()) == []


def test_nothing_is_folded_into_a_deleted_version(register: Register) -> None:
    register.add("majora:v1")
    register.write(versions.delete, "majora:v1")

    with pytest.raises(Gone):
        register.write(evaluations.observe, "majora:v1", observations=[Observation()])
    with pytest.raises(Gone):
        register.write(evaluations.score, "majora:v1", metrics={"f1": 1.0})


def test_the_best_is_highest_or_lowest_as_the_metric_asks(register: Register) -> None:
    register.add("majora:v1", metrics={"accuracy": 0.5, "perplexity": 3.0, "mine": 1.0})
    register.add("majora:v2", metrics={"accuracy": 0.9, "perplexity": 4.0})
    register.add("gnn:v1", metrics={"accuracy": 0.99})

    assert register.read(summaries.best, metric="acc", model="majora").ref == "majora:v2"
    assert register.read(summaries.best, metric="accuracy").ref == "gnn:v1"
    assert register.read(summaries.best, metric="perplexity").ref == "majora:v1"
    with pytest.raises(Invalid, match="nothing says"):
        register.read(summaries.best, metric="mine")
