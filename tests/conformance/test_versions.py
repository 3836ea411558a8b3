"""What every database promises of versions."""

from dataclasses import replace
from datetime import timedelta

import pytest

from herdbook.core import filters
from herdbook.core.models import (
    TRANSITIONS,
    FileLocation,
    ParentKind,
    Status,
    Training,
    Version,
)
from herdbook.core.numbers import Bump
from herdbook.core.refs import version_ref
from herdbook.errors import (
    AlreadyExists,
    Conflict,
    Gone,
    Immutable,
    Invalid,
    NotFound,
    RefusedMove,
)
from herdbook.services import deployments, models, versions
from herdbook.services.models import About
from herdbook.services.versions import Draft
from tests.registers import Register, parent

# How a version gets to a status without going through production.
WAYS: dict[Status, tuple[Status, ...]] = {
    Status.DRAFT: (),
    Status.TRAINING: (Status.TRAINING,),
    Status.DEVELOPMENT: (Status.DEVELOPMENT,),
    Status.VALIDATION: (Status.DEVELOPMENT, Status.VALIDATION),
    Status.STAGING: (Status.DEVELOPMENT, Status.STAGING),
    Status.PRODUCTION: (Status.DEVELOPMENT, Status.PRODUCTION),
    Status.DEPRECATED: (Status.DEVELOPMENT, Status.DEPRECATED),
    Status.ARCHIVED: (Status.ARCHIVED,),
}


def everything_known() -> Draft:
    """A draft in which nothing is left at its default."""
    return Draft(
        number="1.0.0-rc.1",
        status=Status.VALIDATION,
        description="The first.",
        notes="Two\nlines, é and 🐂.",
        tags={"team": "search", "stable": ""},
        training=Training(
            framework="unsloth",
            base_model="Qwen2.5-Coder-7B",
            samples=12_000,
            epochs=2.5,
            batch_size=8,
            learning_rate=2e-4,
            duration_hours=3.25,
            cost_usd=12.5,
            hardware="M2 Max",
        ),
        files=(
            FileLocation(role="lora", location="out/majora/adapter.safetensors"),
            FileLocation(role="lora", location="out/majora/adapter-2.safetensors"),
        ),
        parents=("gnn:v1",),
        parent_kind=ParentKind.DISTILLATION,
        training_data=("toolbench", "oracle"),
        dependencies=("torch>=2.4",),
        metadata={"seed": 7, "nested": {"list": [1, None, True, 0.1]}},
        git_commit="abc1234",
        git_dirty=True,
        metrics={"accuracy": 0.85, "f1_score": 0.8, "my score": -1.0},
    )


def test_a_version_is_given_as_it_was_registered(register: Register) -> None:
    register.add("gnn:v1")

    made = register.write(versions.register, "majora", draft=everything_known())

    assert register.read(versions.get, "majora:1.0.0-rc.1") == made
    assert made.facts.datasets == ("toolbench", "oracle")
    assert made.facts.parents[0].kind is ParentKind.DISTILLATION
    assert made.metrics == {"accuracy": 0.85, "f1": 0.8, "my score": -1.0}
    assert (made.ordinal, made.created_by) == (1, "curator")


def test_its_text_is_what_it_is(register: Register) -> None:
    register.add("gnn:v1")
    made = register.write(versions.register, "majora", draft=everything_known())

    with register.tried() as work:
        texts = work.versions.page_texts(filters.parse("", {}), model="majora", size=5, page=None)
        assert texts.items == (work.versions.text(version_ref(made.ref)),)


def test_numbers_and_ordinals_count_up(register: Register) -> None:
    made = [register.add("majora") for _ in range(12)]

    assert [v.number for v in made] == [f"v{n}" for n in range(1, 13)]
    assert [v.ordinal for v in made] == list(range(1, 13))
    assert register.read(models.get, "majora").versions == 12
    assert register.read(models.get, "majora").latest == "v12"


def test_the_next_number_follows_the_highest_in_its_own_style(register: Register) -> None:
    register.add("majora:1.0.0")
    register.add("majora:0.9.0")

    assert register.add("majora").number == "1.0.1"
    assert register.add("majora", bump=Bump.MINOR).number == "1.1.0"
    assert register.add("majora", bump=Bump.MAJOR).number == "2.0.0"
    register.add("majora:3.0.0-rc.1")
    assert register.add("majora").number == "3.0.0"


def test_ten_comes_after_nine(register: Register) -> None:
    register.add("majora:v9")
    register.add("majora:v10")

    with register.tried() as work:
        assert str(work.versions.highest("majora")) == "v10"


@pytest.mark.parametrize("again", ["v1", "1", "1.0", "V1.0.0", "1.0.0"])
def test_a_number_is_unique_by_value(register: Register, again: str) -> None:
    register.add("majora:v1")

    with pytest.raises(AlreadyExists, match="majora v1 is registered"):
        register.add(f"majora:{again}")

    assert register.read(versions.get, f"majora:{again}").number == "v1"


def test_a_number_refused_takes_no_ordinal(register: Register) -> None:
    register.add("majora:v1")
    with pytest.raises(AlreadyExists):
        register.add("majora:v1")

    assert register.add("majora").ordinal == 2


def test_a_deleted_number_and_its_ordinal_are_never_given_again(register: Register) -> None:
    register.add("majora:v1")
    register.add("majora:v2")
    register.write(versions.delete, "majora:v2", reason="leaked labels")

    with pytest.raises(AlreadyExists, match="leaked labels; a number is never given again"):
        register.add("majora:2.0.0")
    third = register.add("majora")

    assert (third.number, third.ordinal) == ("v3", 3)


def test_a_deleted_version_says_when_by_whom_and_why(register: Register) -> None:
    register.add("majora:v1")
    register.clock.at += timedelta(days=1)
    register.write(versions.delete, "majora:v1", reason="leaked labels")

    with pytest.raises(Gone, match="on 2026-01-15 by curator: leaked labels"):
        register.read(versions.get, "majora:v1")
    with pytest.raises(Gone):
        register.write(versions.annotate, "majora:v1", about=About(notes="x"))
    with pytest.raises(Gone):
        register.write(versions.delete, "majora:v1")


def test_a_deleted_version_comes_back_as_it_was(register: Register) -> None:
    register.add("majora:v1")
    made = register.add("majora:v2", tags={"a": "1"}, metrics={"accuracy": 0.5})
    register.write(versions.delete, "majora:v2")
    assert register.read(models.get, "majora").latest == "v1"

    register.write(versions.restore, "majora:2.0.0")

    assert register.read(versions.get, "majora:v2") == made
    found = register.read(models.get, "majora")
    assert (found.versions, found.latest) == (2, "v2")


def test_what_was_not_deleted_cannot_be_restored(register: Register) -> None:
    register.add("majora:v1")

    for ref in ("majora:v1", "majora:v2", "majora@latest"):
        with pytest.raises(NotFound):
            register.write(versions.restore, ref)


def test_latest_is_the_version_registered_last_and_not_deleted(register: Register) -> None:
    register.add("majora:v2")
    register.add("majora:v1")
    assert register.read(versions.get, "majora@latest").number == "v1"

    register.write(versions.delete, "majora:v1")

    assert register.read(versions.get, "majora@latest").number == "v2"


@pytest.mark.parametrize("ref", ["majora:v7", "majora@blue", "majora", "gnn:v1", "gnn@latest"])
def test_what_is_not_there_is_not_found(register: Register, ref: str) -> None:
    register.add("majora:v1")

    with pytest.raises(NotFound) as caught:
        register.read(versions.get, ref)

    assert not isinstance(caught.value, Gone)


@pytest.mark.parametrize("present", Status)
@pytest.mark.parametrize("wanted", Status)
def test_a_status_moves_along_the_table_alone(
    register: Register, present: Status, wanted: Status
) -> None:
    register.add("majora:v1", status=Status.DRAFT)
    for step in WAYS[present]:
        register.write(versions.set_status, "majora:v1", status=step)

    if present is Status.PRODUCTION:
        # It leaves production when another version enters it, never by itself.
        with pytest.raises(Conflict):
            register.write(versions.set_status, "majora:v1", status=wanted)
        assert register.status("majora:v1") is present
    elif wanted in TRANSITIONS[present]:
        register.write(versions.set_status, "majora:v1", status=wanted)
        assert register.status("majora:v1") is wanted
    else:
        with pytest.raises(RefusedMove):
            register.write(versions.set_status, "majora:v1", status=wanted)
        assert register.status("majora:v1") is present


@pytest.mark.parametrize("begins", [Status.DEPRECATED, Status.ARCHIVED])
def test_a_version_does_not_begin_at_its_end(register: Register, begins: Status) -> None:
    with pytest.raises(Invalid, match="cannot begin"):
        register.add("majora:v1", status=begins)


def test_what_an_alias_points_at_is_neither_archived_nor_deleted(register: Register) -> None:
    register.add("majora:v1")
    register.write(deployments.promote, "majora:v1", alias="blue")

    with pytest.raises(Conflict, match="blue"):
        register.write(versions.set_status, "majora:v1", status=Status.ARCHIVED)
    with pytest.raises(Conflict, match="blue"):
        register.write(versions.delete, "majora:v1")


def test_facts_are_completed_until_a_version_is_sealed(register: Register) -> None:
    made = register.add("majora:v1", status=Status.DRAFT, training=Training(epochs=1))

    revised = register.write(
        versions.revise,
        "majora:v1",
        draft=Draft(training=Training(samples=9), training_data=("oracle",)),
    )

    assert revised.training == Training(epochs=1, samples=9)
    assert revised.digest != made.digest
    assert register.read(versions.get, "majora:v1") == revised
    assert register.read(versions.page, filter="dataset = 'oracle'").items == (revised,)
    register.write(versions.set_status, "majora:v1", status=Status.DEVELOPMENT)
    with pytest.raises(Immutable, match="register a new version"):
        register.write(versions.revise, "majora:v1", draft=Draft(training=Training(epochs=2)))


def test_a_revision_refuses_what_is_not_a_fact(register: Register) -> None:
    register.add("majora:v1", status=Status.DRAFT)

    for draft in (
        Draft(description="x"),
        Draft(tags={"a": ""}),
        Draft(metrics={"f1": 1.0}),
        Draft(number="v2"),
        Draft(owner="search"),
    ):
        with pytest.raises(Invalid):
            register.write(versions.revise, "majora:v1", draft=draft)


def test_a_store_refuses_other_facts_of_a_sealed_version(register: Register) -> None:
    made = register.add("majora:v1")
    forged = replace(made, digest="0" * 64)

    with register.tried() as work, pytest.raises(Immutable):
        work.versions.save(forged)


def test_a_sealed_version_stays_sealed_when_its_status_changes(register: Register) -> None:
    made = register.add("majora:v1")
    for status in (Status.ARCHIVED, Status.DEPRECATED, Status.STAGING, Status.PRODUCTION):
        register.write(versions.set_status, "majora:v1", status=status)

    found = register.read(versions.get, "majora:v1")

    assert (found.facts, found.digest) == (made.facts, made.digest)


def test_tags_notes_and_description_change_without_touching_what_it_is(register: Register) -> None:
    made = register.add("majora:v1", tags={"a": "1"}, training_data=("oracle",))

    changed = register.write(
        versions.annotate,
        "majora:v1",
        about=About(description="d", notes="n", tags={"b": "2"}, untag=("a",)),
    )

    assert (changed.tags, changed.notes, changed.description) == ({"b": "2"}, "n", "d")
    assert (changed.facts, changed.digest) == (made.facts, made.digest)
    assert changed.updated_at > made.updated_at
    assert register.read(versions.page, filter="tags.b = '2' AND dataset = 'oracle'").items
    assert not register.read(versions.page, filter="tags.a IS NOT NULL").items


@pytest.mark.parametrize("about", [About(type="llm"), About(owner="x"), About(metadata={})])
def test_what_belongs_to_the_model_is_not_a_versions(register: Register, about: About) -> None:
    register.add("majora:v1")

    with pytest.raises(Immutable):
        register.write(versions.annotate, "majora:v1", about=about)


def test_a_parent_must_be_there(register: Register) -> None:
    with pytest.raises(NotFound, match="gnn"):
        register.add("majora:v1", parents=("gnn:v1",))

    assert register.count("models") == 0


def test_a_parent_by_alias_is_kept_by_number(register: Register) -> None:
    register.add("gnn:v1", status=Status.PRODUCTION)

    made = register.add("majora:v1", parents=("gnn@champion",))

    assert made.facts.parents == (parent("gnn:v1"),)


def test_versions_come_newest_first(register: Register) -> None:
    made = [register.add(name) for name in ("majora", "gnn", "majora", "oracle")]

    found: tuple[Version, ...] = register.read(versions.page).items

    assert [v.ref for v in found] == [v.ref for v in reversed(made)]


def test_totals_count_and_add_up(register: Register) -> None:
    register.add("majora:v1", training=Training(cost_usd=1.5, duration_hours=2))
    register.add("majora:v2", training=Training(cost_usd=2.25), status=Status.PRODUCTION)
    register.add("gnn:v1")
    register.write(versions.delete, "gnn:v1")

    with register.tried() as work:
        whole, one = work.versions.totals(model=None), work.versions.totals(model="majora")

    assert (whole.models, whole.versions, one.models) == (2, 2, 1)
    assert whole.statuses == {"development": 1, "production": 1}
    assert (one.cost_usd, one.duration_hours) == (3.75, 2)
