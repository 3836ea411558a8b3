"""What every database promises of aliases and the history of their moves."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from herdbook.core.deployments import MoveKind
from herdbook.core.models import Status
from herdbook.errors import (
    Conflict,
    Gone,
    Invalid,
    NotFound,
    RefusedMove,
    StaleEpoch,
)
from herdbook.services import deployments, models, versions
from tests.registers import Register


@pytest.fixture
def served(register: Register) -> Register:
    """A register in which majora v1, v2 and v3 were champions in turn."""
    for number in ("v1", "v2", "v3"):
        register.add(f"majora:{number}", status=Status.PRODUCTION)
        register.clock.at += timedelta(days=1)
    return register


def champion(register: Register) -> str:
    """The number in production."""
    return register.read(deployments.alias, "majora").number


def check_one_champion(register: Register, model: str = "majora") -> None:
    """A version is in production exactly when it is the champion, by every account."""
    produced = register.read(versions.page, model=model, filter="status = 'production'").items
    named = register.read(versions.page, model=model, filter="alias = 'champion'").items
    told = register.read(models.get, model).champion
    with register.tried() as work:
        held = work.deployments.get(model, "champion")
    assert [v.number for v in produced] == [v.number for v in named]
    assert [v.number for v in produced] == ([held.number] if held else [])
    assert told == (held.number if held else "")
    assert all("champion" in v.aliases for v in produced)


def test_a_promotion_says_who_when_why_from_where_to_where(register: Register) -> None:
    register.add("majora:v1")
    register.add("majora:v2")
    register.write(deployments.promote, "majora:v1")

    move = register.write(deployments.promote, "majora:v2", reason="better recall")

    assert (move.from_number, move.to_number, move.kind) == ("v1", "v2", MoveKind.PROMOTE)
    assert (move.epoch, move.by, move.reason) == (2, "curator", "better recall")
    assert move.statuses == {"v1": "deprecated", "v2": "production"}
    assert register.status("majora:v1") is Status.DEPRECATED
    assert register.read(deployments.history).items[0] == move
    check_one_champion(register)


def test_the_same_promotion_twice_is_a_conflict(served: Register) -> None:
    with pytest.raises(Conflict, match="already"):
        served.write(deployments.promote, "majora:3.0.0")


def test_a_second_rollback_goes_further_back_not_forward_again(served: Register) -> None:
    served.write(deployments.rollback, "majora")
    assert champion(served) == "v2"

    served.write(deployments.rollback, "majora")
    assert champion(served) == "v1"

    with pytest.raises(NotFound, match="history reaches 0"):
        served.write(deployments.rollback, "majora")
    assert champion(served) == "v1"
    check_one_champion(served)


def test_two_steps_are_two_rollbacks(served: Register) -> None:
    served.write(deployments.rollback, "majora", steps=2)

    assert champion(served) == "v1"
    with pytest.raises(NotFound):
        served.write(deployments.rollback, "majora", steps=1)


@pytest.mark.parametrize("steps", [0, -1, 1_001, 3, 1_000])
def test_steps_beyond_the_history_or_the_limit_are_refused(served: Register, steps: int) -> None:
    with pytest.raises((Invalid, NotFound)):
        served.write(deployments.rollback, "majora", steps=steps)

    assert champion(served) == "v3"


def test_a_promotion_after_a_rollback_can_itself_be_rolled_back(served: Register) -> None:
    served.write(deployments.rollback, "majora")
    served.add("majora:v4", status=Status.PRODUCTION)

    served.write(deployments.rollback, "majora")
    assert champion(served) == "v2"
    served.write(deployments.rollback, "majora")
    assert champion(served) == "v1"


def test_a_rollback_after_a_removal_brings_back_what_was_removed(served: Register) -> None:
    served.write(deployments.remove, "majora", "champion", reason="incident")
    check_one_champion(served)
    assert served.status("majora:v3") is Status.DEPRECATED

    move = served.write(deployments.rollback, "majora")

    assert (champion(served), move.from_number, move.epoch) == ("v3", "", 5)
    served.write(deployments.rollback, "majora")
    assert champion(served) == "v2"


def test_a_removal_is_stepped_over(served: Register) -> None:
    served.write(deployments.remove, "majora", "champion")
    served.add("majora:v4", status=Status.PRODUCTION)

    served.write(deployments.rollback, "majora")

    assert champion(served) == "v3"


def test_a_rollback_to_a_version_needs_it_to_have_held_the_alias(served: Register) -> None:
    served.add("majora:v4")

    served.write(deployments.rollback, "majora", to="1.0")
    assert champion(served) == "v1"

    with pytest.raises(NotFound, match="never was champion"):
        served.write(deployments.rollback, "majora", to="v4")
    with pytest.raises(Conflict, match="already"):
        served.write(deployments.rollback, "majora", to="v1")
    with pytest.raises(NotFound):
        served.write(deployments.rollback, "majora", to="v9")


def test_a_rollback_to_a_time_restores_what_was_there_then(served: Register) -> None:
    second = served.read(deployments.history).items[1].at

    served.write(deployments.rollback, "majora", to_time=second)

    assert champion(served) == "v2"
    with pytest.raises(NotFound, match="pointed nowhere"):
        served.write(deployments.rollback, "majora", to_time=second - timedelta(days=30))


def test_only_one_way_to_say_where_to(served: Register) -> None:
    for more in ({"steps": 2, "to": "v1"}, {"to": "v1", "to_time": served.clock.at}):
        with pytest.raises(Invalid, match="only one"):
            served.write(deployments.rollback, "majora", **more)  # type: ignore[arg-type]


def test_a_rollback_to_a_deleted_version_says_it_is_gone(served: Register) -> None:
    served.write(versions.delete, "majora:v2", reason="leaked labels")

    with pytest.raises(Gone, match="leaked labels"):
        served.write(deployments.rollback, "majora", to="v2")
    assert champion(served) == "v3"


@pytest.mark.parametrize("gone", ["deleted", "archived"])
def test_a_rollback_by_steps_steps_over_what_cannot_serve(served: Register, gone: str) -> None:
    if gone == "deleted":
        served.write(versions.delete, "majora:v2")
    else:
        served.write(versions.set_status, "majora:v2", status=Status.ARCHIVED)

    move = served.write(deployments.rollback, "majora")

    assert (move.from_number, move.to_number, move.back_epoch) == ("v3", "v1", 0)
    with pytest.raises(NotFound, match="history reaches 0"):
        served.write(deployments.rollback, "majora")
    check_one_champion(served)


def test_steps_count_only_what_can_serve(served: Register) -> None:
    served.add("majora:v4", status=Status.PRODUCTION)
    served.write(versions.delete, "majora:v2")

    with pytest.raises(NotFound, match="reaches 2 versions back: v2 is deleted"):
        served.write(deployments.rollback, "majora", steps=3)
    served.write(deployments.rollback, "majora", steps=2)

    assert champion(served) == "v1"


def test_when_nothing_is_left_to_roll_back_to_it_says_what_can_be_done(served: Register) -> None:
    served.write(versions.delete, "majora:v1")
    served.write(versions.set_status, "majora:v2", status=Status.ARCHIVED)

    with pytest.raises(NotFound) as caught:
        served.write(deployments.rollback, "majora")

    assert "v1 is deleted (`herdbook versions restore majora:v1`" in caught.value.message
    assert "v2 is archived (`herdbook versions status majora:v2 depre" in caught.value.message
    assert "`herdbook deploy majora VERSION` points it at another" in caught.value.message
    served.write(versions.restore, "majora:v1")
    served.write(deployments.rollback, "majora")
    assert champion(served) == "v1"


def test_two_stays_of_one_version_are_one_when_what_was_between_is_gone(served: Register) -> None:
    served.write(deployments.promote, "majora:v2")
    served.write(versions.delete, "majora:v3")

    served.write(deployments.rollback, "majora")

    assert champion(served) == "v1"


def test_the_history_of_a_deleted_model_can_be_read(register: Register) -> None:
    register.add("gnn", status=Status.PRODUCTION)
    register.write(deployments.remove, "gnn", "champion")
    register.write(models.delete, "gnn")

    moves = register.read(deployments.history, model="gnn").items
    assert [move.to_number for move in moves] == ["", "v1"]
    (held,) = register.read(deployments.at, model="gnn", time=moves[1].at).items
    assert held.since.to_number == "v1"
    assert register.seen_by("viewer:gnn").read(deployments.history, model="gnn").items == moves
    for verb in (deployments.history, deployments.at):
        with pytest.raises(NotFound, match="there is no model 'oracle'"):
            register.read(verb, model="oracle")
        with pytest.raises(NotFound, match="there is no model 'gnn'"):
            register.seen_by("viewer:oracle").read(verb, model="gnn")


def test_no_alias_is_pointed_at_an_archived_version(register: Register) -> None:
    register.add("gnn")
    register.write(versions.set_status, "gnn:v1", status=Status.ARCHIVED)

    with pytest.raises(RefusedMove, match="archived"):
        register.write(deployments.promote, "gnn:v1", alias="blue")


def test_an_archived_version_is_not_promoted_nor_rolled_back_to(served: Register) -> None:
    served.write(versions.set_status, "majora:v2", status=Status.ARCHIVED)

    with pytest.raises(RefusedMove, match="archived"):
        served.write(deployments.promote, "majora:v2")
    with pytest.raises(RefusedMove, match="archived"):
        served.write(deployments.rollback, "majora", to="v2")


@pytest.mark.parametrize("status", [Status.DRAFT, Status.TRAINING])
def test_an_unfinished_version_does_not_serve(register: Register, status: Status) -> None:
    register.add("majora:v1", status=status)

    with pytest.raises(RefusedMove, match="finish it first"):
        register.write(deployments.promote, "majora:v1")


def test_an_alias_moves_only_from_the_epoch_expected(served: Register) -> None:
    with pytest.raises(StaleEpoch) as caught:
        served.write(deployments.promote, "majora:v1", expected_epoch=2)
    assert caught.value.details == {"epoch": 3}
    moves: list[tuple[Any, tuple[str, ...]]] = [
        (deployments.rollback, ("majora",)),
        (deployments.switch, ("majora",)),
        (deployments.remove, ("majora", "champion")),
    ]
    for verb, args in moves:
        with pytest.raises(StaleEpoch):
            served.write(verb, *args, expected_epoch=4)

    assert served.write(deployments.promote, "majora:v1", expected_epoch=3).epoch == 4


def test_epoch_zero_means_it_never_moved(register: Register) -> None:
    register.add("majora:v1")

    register.write(deployments.promote, "majora:v1", alias="blue", expected_epoch=0)

    register.write(deployments.remove, "majora", "blue")
    with pytest.raises(StaleEpoch):
        register.write(deployments.promote, "majora:v1", alias="blue", expected_epoch=0)
    assert register.write(deployments.promote, "majora:v1", alias="blue").epoch == 3


@pytest.mark.parametrize("epoch", [1, 2, 3, 5, 9])
def test_a_store_moves_by_compare_and_set(served: Register, epoch: int) -> None:
    present = served.read(deployments.history).items[0]
    move = replace(present, epoch=epoch, from_number="v3", to_number="v1")

    with served.tried() as work, pytest.raises(StaleEpoch):
        work.deployments.move(move)


def test_aliases_are_independent_and_need_no_status(register: Register) -> None:
    register.add("majora:v1", status=Status.PRODUCTION)
    register.add("majora:v2")

    register.write(deployments.promote, "majora:v2", alias="challenger")
    register.write(deployments.promote, "majora:v2", alias="eu-west")

    assert register.status("majora:v2") is Status.DEVELOPMENT
    assert register.read(versions.get, "majora@challenger").aliases == ("challenger", "eu-west")
    assert register.read(models.get, "majora").aliases == {
        "challenger": "v2",
        "champion": "v1",
        "eu-west": "v2",
    }


@pytest.mark.parametrize("alias", ["latest", "v1", "v2.1", "V", "-x", "", "a b", "é"])
def test_reserved_names_are_no_aliases(register: Register, alias: str) -> None:
    register.add("majora:v1")

    with pytest.raises(Invalid):
        register.write(deployments.promote, "majora:v1", alias=alias)


def test_a_switch_goes_to_the_slot_that_is_not_live(register: Register) -> None:
    register.add("majora:v1", status=Status.PRODUCTION)
    register.add("majora:v2")
    register.write(deployments.promote, "majora:v1", alias="blue")
    register.write(deployments.promote, "majora:v2", alias="green")

    move = register.write(deployments.switch, "majora")
    assert (move.kind, champion(register)) == (MoveKind.SWITCH, "v2")
    register.write(deployments.switch, "majora")
    assert champion(register) == "v1"
    register.write(deployments.switch, "majora", to="green")
    assert champion(register) == "v2"
    check_one_champion(register)


def test_a_switch_that_could_mean_two_things_is_a_conflict(register: Register) -> None:
    for number in ("v1", "v2", "v3"):
        register.add(f"majora:{number}")
    with pytest.raises(Conflict, match="cannot tell"):
        register.write(deployments.switch, "majora")
    register.write(deployments.promote, "majora:v1")
    register.write(deployments.promote, "majora:v2", alias="blue")
    register.write(deployments.promote, "majora:v3", alias="green")

    with pytest.raises(Conflict, match="blue v2, green v3"):
        register.write(deployments.switch, "majora")
    assert register.write(deployments.switch, "majora", to="blue").to_number == "v2"


def test_a_switch_can_be_rolled_back(register: Register) -> None:
    register.add("majora:v1", status=Status.PRODUCTION)
    register.add("majora:v2")
    register.write(deployments.promote, "majora:v2", alias="green")
    register.write(deployments.switch, "majora", to="green")

    register.write(deployments.rollback, "majora")

    assert champion(register) == "v1"


def test_what_was_in_production_at_a_time_and_who_put_it_there(served: Register) -> None:
    newest = served.read(deployments.history).items
    third, second, first = newest

    (held,) = served.read(deployments.at, time=second.at).items
    assert (held.since, held.until) == (second, third.at)
    (held,) = served.read(deployments.at, time=third.at - timedelta(microseconds=1)).items
    assert held.since == second
    (held,) = served.read(deployments.at, model="majora").items
    assert (held.since, held.until) == (third, None)
    assert not served.read(deployments.at, time=first.at - timedelta(microseconds=1)).items


def test_a_removed_alias_held_nothing_since(served: Register) -> None:
    gone = served.write(deployments.remove, "majora", "champion")

    assert not served.read(deployments.at).items
    (held,) = served.read(deployments.at, time=gone.at - timedelta(seconds=1)).items
    assert (held.since.to_number, held.until) == ("v3", gone.at)


def test_holdings_come_by_model_and_alias(register: Register) -> None:
    for model in ("oracle", "gnn", "majora"):
        register.add(f"{model}:v1", status=Status.PRODUCTION)
        register.write(deployments.promote, f"{model}:v1", alias="blue")

    with register.tried() as work:
        found = work.deployments.at(work.now(), model=None, alias=None)

    assert [(h.since.model, h.since.alias) for h in found] == [
        (model, alias) for model in ("gnn", "majora", "oracle") for alias in ("blue", "champion")
    ]


def test_the_numbers_of_an_alias_come_by_model_as_far_as_one_may_see(register: Register) -> None:
    for model in ("oracle", "gnn", "search/ranker"):
        register.add(f"{model}:v1", status=Status.PRODUCTION)
    register.add("majora:v1")
    register.write(deployments.promote, "gnn:v1", alias="blue")
    register.write(deployments.remove, "oracle", alias="champion")

    with register.tried() as work:
        found = work.deployments.numbers("champion", limit=10)
        first = work.deployments.numbers("champion", limit=1)
    with register.seen_by("viewer:search/*").tried() as work:
        seen = work.deployments.numbers("champion", limit=10)

    assert list(found.items()) == [("gnn", "v1"), ("search/ranker", "v1")]
    assert list(first) == ["gnn"]
    assert list(seen) == ["search/ranker"]


def test_moves_are_found_by_epoch_and_by_version(served: Register) -> None:
    served.write(deployments.rollback, "majora")

    with served.tried() as work:
        by_epoch = work.deployments.at_epoch("majora", "champion", 1)
        newest = work.deployments.last_to("majora", "champion", "v2")
        assert work.deployments.at_epoch("majora", "champion", 9) is None
        assert work.deployments.last_to("majora", "blue", "v2") is None
        assert work.deployments.epoch("majora", "champion") == 4
        assert work.deployments.epoch("majora", "blue") == 0
        assert work.deployments.get("majora", "blue") is None

    assert by_epoch is not None
    assert newest is not None
    assert (by_epoch.to_number, newest.epoch) == ("v1", 4)


def test_the_order_of_moves_is_by_epoch_even_when_the_clock_goes_back(served: Register) -> None:
    served.clock.at -= timedelta(days=365)

    served.write(deployments.rollback, "majora")

    assert [m.epoch for m in served.read(deployments.history).items] == [4, 3, 2, 1]
    assert served.read(versions.get, "majora").number == "v2"
    check_one_champion(served)
