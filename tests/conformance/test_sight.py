"""What of a version is shown to whom: never a parent in a model they may not read."""

import json

import pytest

from herdbook.core.models import Status
from herdbook.core.refs import VersionRef
from herdbook.services import evaluations, events, summaries, versions
from herdbook.services.models import About
from herdbook.services.versions import Draft
from tests.registers import Register


@pytest.fixture
def family(register: Register) -> Register:
    """A register in which gnn:v1 came from majora:v1 and from oracle:v1."""
    register.add("majora:v1")
    register.add("oracle:v1")
    register.add("gnn:v1", parents=("majora:v1", "oracle:v1"), metrics={"f1": 0.5})
    register.add("gnn:v2", status=Status.DRAFT, parents=("majora:v1",))
    return register


def test_parents_one_may_not_read_are_left_out(family: Register) -> None:
    seen = family.seen_by("viewer:gnn", "viewer:oracle")

    one = seen.read(versions.get, "gnn:v1")
    (two, listed) = seen.read(versions.page, model="gnn").items
    texts = [json.loads(text) for text in seen.read(versions.texts, model="gnn").items]
    text = json.loads(seen.read(versions.text, "gnn:v1"))

    assert [p.ref for p in one.facts.parents] == ["oracle:v1"]
    assert (listed, two.facts.parents) == (one, ())
    assert text == texts[1]
    assert [p["model"] for p in text["facts"]["parents"]] == ["oracle"]
    compared = seen.read(summaries.compare, refs=("gnn:v1", "gnn:v2"), everything=True)
    assert [row.name for row in compared.rows if row.group == "parents"] == ["oracle:v1"]
    best = seen.read(summaries.best, metric="f1", model="gnn")
    assert best == one


def test_the_digest_is_that_of_all_facts(family: Register) -> None:
    whole = family.read(versions.get, "gnn:v1")

    assert family.seen_by("viewer:gnn").read(versions.get, "gnn:v1").digest == whole.digest
    assert len(whole.facts.parents) == 2


def test_what_hides_nothing_is_given_as_it_is_stored(family: Register) -> None:
    whole = family.read(versions.text, "gnn:v1")

    assert family.seen_by("viewer").read(versions.text, "gnn:v1") == whole
    able = family.seen_by("viewer:gnn", "viewer:oracle", "viewer:majora")
    assert able.read(versions.text, "gnn:v1") == whole


def test_a_change_by_one_who_sees_less_shows_less_and_loses_nothing(family: Register) -> None:
    some = family.seen_by("deployer:gnn")

    shown = [
        some.write(versions.annotate, "gnn:v2", about=About(notes="seen")),
        some.write(versions.revise, "gnn:v2", draft=Draft(git_commit="abcdef")),
        some.write(evaluations.score, "gnn:v2", metrics={"f1": 0.5}),
        some.write(versions.set_status, "gnn:v2", status=Status.DEVELOPMENT),
        some.write(versions.set_status, "gnn:v2", status=Status.PRODUCTION),
    ]

    assert not any(version.facts.parents for version in shown)
    kept = family.read(versions.get, VersionRef("gnn", "v2"))
    assert [p.ref for p in kept.facts.parents] == ["majora:v1"]


def test_events_of_a_model_do_not_name_them_either(family: Register) -> None:
    told = family.seen_by("viewer:gnn").read(events.page, model="gnn").items

    assert "majora" not in repr(told)
    assert "majora" in repr(family.read(events.page, model="gnn").items)
