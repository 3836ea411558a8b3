"""What every database promises of models."""

from datetime import timedelta

import pytest

from herdbook.core import filters
from herdbook.core.models import Status
from herdbook.errors import AlreadyExists, Conflict, Gone, Invalid, NotFound
from herdbook.services import deployments, models, versions
from herdbook.services.models import About
from tests.registers import Register


def test_a_model_is_given_as_it_was_registered(register: Register) -> None:
    about = About(
        type="embedding",
        owner="search",
        description="Ranks.\nTwice.",
        tags={"team": "search", "stable": ""},
        metadata={"layers": 12, "heads": [1, 2.5, None, {"deep": "é"}]},
    )

    made = register.write(models.create, "search/ranker", about=about)

    assert register.read(models.get, "search/ranker") == made
    assert made.metadata == about.metadata
    assert made.tags == {"stable": "", "team": "search"}


def test_a_model_that_is_not_there_is_not_found(register: Register) -> None:
    with pytest.raises(NotFound, match="majora"):
        register.read(models.get, "majora")


@pytest.mark.parametrize("second", ["majora", "Majora", "MAJORA"])
def test_a_name_is_given_once_whatever_its_case(register: Register, second: str) -> None:
    register.write(models.create, "majora")

    with pytest.raises(AlreadyExists, match="majora is registered"):
        register.write(models.create, second)
    if second != "majora":
        with pytest.raises(AlreadyExists, match="majora is registered"):
            register.add(second)

    assert register.count("models") == 1


def test_the_name_of_a_deleted_model_stays_taken(register: Register) -> None:
    register.add("majora:v1")
    register.write(models.delete, "majora", reason="superseded")

    with pytest.raises(AlreadyExists, match="was deleted"):
        register.write(models.create, "Majora")
    with pytest.raises(Gone, match="superseded"):
        register.add("majora")


def test_a_deleted_model_says_when_it_was_deleted_and_not_when_it_last_changed(
    register: Register,
) -> None:
    register.add("majora:v1")
    register.clock.at += timedelta(days=30)
    register.write(models.delete, "majora", reason="superseded")

    with pytest.raises(Gone, match="on 2026-02-13 by curator: superseded"):
        register.read(models.get, "majora")


def test_a_deleted_model_and_its_versions_are_in_no_collection(register: Register) -> None:
    register.add("majora:v1", training_data=("oracle",))
    register.add("gnn:v1")

    register.write(models.delete, "majora")

    assert [m.name for m in register.read(models.page).items] == ["gnn"]
    assert [v.ref for v in register.read(versions.page).items] == ["gnn:v1"]
    with register.tried() as work:
        assert work.versions.totals(model=None).versions == 1
        assert work.versions.totals(model=None).models == 1
        assert work.lineage.datasets(size=10, page=None).items == ()
        assert work.models.exists("majora")
    with pytest.raises(Gone, match="majora was deleted"):
        register.read(versions.get, "majora:v1")


def test_a_restored_model_has_its_versions_back_but_not_those_deleted_one_by_one(
    register: Register,
) -> None:
    register.add("majora:v1")
    register.add("majora:v2")
    register.write(versions.delete, "majora:v2")
    register.write(models.delete, "majora")

    register.write(models.restore, "majora")

    assert [v.ref for v in register.read(versions.page).items] == ["majora:v1"]
    assert register.read(models.get, "majora").versions == 1
    assert register.add("majora").number == "v3"


def test_what_was_not_deleted_cannot_be_restored(register: Register) -> None:
    register.add("majora:v1")

    with pytest.raises(NotFound):
        register.write(models.restore, "majora")
    with pytest.raises(NotFound):
        register.write(models.restore, "gnn")


def test_a_model_in_production_is_not_deleted(register: Register) -> None:
    register.add("majora:v1", status=Status.PRODUCTION)

    with pytest.raises(Conflict, match="in production"):
        register.write(models.delete, "majora")

    register.write(deployments.remove, "majora", "champion")
    register.write(models.delete, "majora")


def test_what_is_known_about_a_model_is_written_over_what_was(register: Register) -> None:
    register.write(models.create, "majora", about=About(tags={"a": "1", "b": "2"}, owner="search"))

    register.write(
        models.update, "majora", about=About(tags={"b": "3", "c": ""}, untag=("a",), notes="é")
    )

    found = register.read(models.get, "majora")
    assert found.tags == {"b": "3", "c": ""}
    assert (found.owner, found.notes) == ("search", "é")
    asked = filters.parse("tags.b = '3'", {"tags.*": filters.Field(filters.Kind.TEXT)})
    with register.tried() as work:
        assert [m.name for m in work.models.page(asked, size=5, page=None).items] == ["majora"]


def test_models_come_by_name_in_code_point_order(register: Register) -> None:
    for name in ("gnn", "Oracle", "majora", "Zebra", "a/b", "a_b", "a.b"):
        register.write(models.create, name)

    found = [m.name for m in register.read(models.page).items]

    assert found == sorted(found)
    assert len(found) == 7


def test_what_breaks_a_rule_leaves_nothing_behind(register: Register) -> None:
    with pytest.raises(Invalid):
        register.add("majora:v1", metrics={"accuracy": float("nan")})

    assert [register.count(t) for t in ("models", "versions", "events", "scores")] == [0] * 4


def test_a_version_does_not_change_the_type_or_owner_its_model_has(register: Register) -> None:
    register.add("majora:v1", model_type="llm")
    register.add("majora:v2", model_type="llm", owner="search")

    with pytest.raises(
        Conflict, match=r"type of majora is llm, not gnn.*models update majora --ty"
    ):
        register.add("majora:v3", model_type="gnn")
    with pytest.raises(Conflict, match=r"owner of majora is search.*--owner 'the lab'"):
        register.add("majora:v3", owner="the lab")

    register.add("majora:v3", model_type="llm", owner="search")
    register.add("majora:v4")
    found = register.read(models.get, "majora")
    assert (found.type, found.owner, found.versions) == ("llm", "search", 4)
