"""What every database promises of tokens, kept answers, and who sees what."""

from datetime import timedelta
from typing import Any

import pytest

from herdbook.core.models import Status, Training
from herdbook.errors import Forbidden, KeyReused, NotFound, Unauthenticated
from herdbook.services import access, deployments, evaluations, lineage, models, summaries, versions
from herdbook.services import events as log
from herdbook.services.models import About
from tests.registers import NOON, Register


@pytest.fixture
def shared(register: Register) -> Register:
    """A register of three teams, related across them."""
    for name, alias in (("search/ranker", "blue"), ("ads/ctr", "blue"), ("majora", "green")):
        register.add(
            f"{name}:v1",
            status=Status.PRODUCTION,
            training_data=(f"data of {name}", "shared"),
            training=Training(cost_usd=1),
        )
        register.write(deployments.promote, f"{name}:v1", alias=alias)
    register.add("search/encoder:v1", parents=("ads/ctr:v1",))
    register.add("ads/ctr:v2", parents=("search/encoder:v1",))
    return register


def test_every_collection_holds_only_what_one_may_see(shared: Register) -> None:
    seen = shared.seen_by("viewer:search/*")

    assert [m.name for m in seen.read(models.page).items] == ["search/encoder", "search/ranker"]
    assert {v.model for v in seen.read(versions.page).items} == {"search/encoder", "search/ranker"}
    assert {m.model for m in seen.read(deployments.history).items} == {"search/ranker"}
    assert {h.since.model for h in seen.read(deployments.at).items} == {"search/ranker"}
    assert [(d.name, d.versions) for d in seen.read(lineage.datasets).items] == [
        ("data of search/ranker", 1),
        ("shared", 1),
    ]
    whole = seen.read(summaries.summary)
    assert (whole.totals.models, whole.totals.versions, whole.totals.cost_usd) == (2, 2, 1)
    assert set(whole.champions) == {"search/ranker"}
    assert whole.cheapest == "search/ranker:v1"


def test_relatives_one_may_not_see_are_left_out(shared: Register) -> None:
    seen = shared.seen_by("viewer:search/*")

    assert seen.read(lineage.ancestors, "search/encoder:v1").items == ()
    assert seen.read(lineage.descendants, "search/encoder:v1").items == ()
    assert {n.ref for n in seen.read(lineage.pedigree, "search/encoder").nodes} == {
        "search/encoder:v1"
    }
    assert len(seen.read(lineage.around, "search/encoder:v1").nodes) == 1
    assert not seen.read(lineage.data, "search/encoder:v1").sources


@pytest.mark.parametrize("filter", ["alias = 'blue'", "dataset = 'shared'", "type != 'x'", ""])
def test_no_filter_shows_what_one_may_not_see(shared: Register, filter: str) -> None:
    seen = shared.seen_by("viewer:majora", "viewer:search/ranker")

    found = {v.model for v in seen.read(versions.page, filter=filter).items}

    assert found <= {"majora", "search/ranker"}


def test_without_a_grant_there_is_nothing(shared: Register) -> None:
    seen = shared.seen_by()

    assert seen.read(models.page).items == ()
    assert seen.read(versions.page).items == ()
    assert seen.read(deployments.history).items == ()
    assert seen.read(lineage.datasets).items == ()
    assert seen.read(summaries.summary).totals.versions == 0


READS: list[tuple[Any, tuple[str, ...]]] = [
    (models.get, ("ads/ctr",)),
    (versions.get, ("ads/ctr:v1",)),
    (deployments.alias, ("ads/ctr",)),
    (lineage.pedigree, ("ads/ctr",)),
    (lineage.ancestors, ("ads/ctr:v2",)),
    (lineage.data, ("ads/ctr:v1",)),
    (evaluations.history, ("ads/ctr:v1",)),
    (evaluations.operational, ("ads/ctr:v1",)),
]


@pytest.mark.parametrize(("verb", "args"), READS)
def test_what_one_may_not_see_is_not_there(
    shared: Register, verb: Any, args: tuple[str, ...]
) -> None:
    seen = shared.seen_by("admin:search/*")
    with pytest.raises(NotFound) as hidden:
        seen.read(verb, *args)
    absent = tuple(arg.replace("ads/ctr", "ads/xyz") for arg in args)
    with pytest.raises(NotFound) as missing:
        seen.read(verb, *absent)

    assert hidden.value.message.replace("ads/ctr", "ads/xyz") == missing.value.message


def test_whole_collections_of_a_model_one_may_not_see_are_not_there(shared: Register) -> None:
    seen = shared.seen_by("admin:search/*")

    of_one: list[Any] = [versions.page, deployments.history, deployments.at, summaries.summary]
    of_all: list[Any] = [log.page, log.verify, log.checkpoint, access.page]
    for verb in (*of_one, log.page):
        with pytest.raises(NotFound):
            seen.read(verb, model="ads/ctr")
    for verb in of_all:
        with pytest.raises(Forbidden):
            seen.read(verb)


def test_a_role_does_what_it_may_and_no_more(shared: Register) -> None:
    viewer, writer = shared.seen_by("viewer"), shared.seen_by("contributor:ads/*")
    deployer = shared.seen_by("deployer:ads/*")

    with pytest.raises(Forbidden):
        viewer.write(models.update, "majora", about=About(notes="x"))
    writer.add("ads/ctr:v3")
    with pytest.raises(Forbidden):
        writer.write(deployments.promote, "ads/ctr:v3")
    with pytest.raises(Forbidden):
        writer.add("ads/ctr:v4", status=Status.PRODUCTION)
    with pytest.raises(Forbidden):
        writer.write(versions.set_status, "ads/ctr:v3", status=Status.PRODUCTION)
    with pytest.raises(NotFound):
        writer.add("ads/new", parents=("majora:v1",))
    deployer.write(deployments.promote, "ads/ctr:v3")
    with pytest.raises(Forbidden):
        deployer.write(models.delete, "ads/ctr")
    with pytest.raises(NotFound):
        deployer.write(deployments.rollback, "majora")


def test_a_token_counts_until_it_expires_or_is_revoked(register: Register) -> None:
    made = register.write(access.create, "ci", roles=["contributor:search/*"], days=1)
    actor, token = register.read(access.identify, made.secret)

    assert (actor.name, token) == ("ci", made.token)
    register.clock.at += timedelta(days=1)
    with pytest.raises(Unauthenticated):
        register.read(access.identify, made.secret)
    other = register.write(access.create, "ci", roles=["viewer"], days=None)
    register.write(access.revoke, other.token.id)
    with pytest.raises(Unauthenticated):
        register.read(access.identify, other.secret)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "hb_",
        "Bearer null",
        "x" * 10_000,
        "hb_" + "0" * 57,
        "hb_" + "\ud800" * 57,
        "hb_é" + "0" * 56,
    ],
)
def test_what_is_no_token_is_refused(register: Register, wrong: str) -> None:
    with pytest.raises(Unauthenticated):
        register.read(access.identify, wrong)


def test_one_wrong_character_is_refused(register: Register) -> None:
    secret = register.write(access.create, "ci", roles=["viewer"]).secret

    for at in range(len(secret)):
        wrong = secret[:at] + ("x" if secret[at] != "x" else "y") + secret[at + 1 :]
        with pytest.raises(Unauthenticated):
            register.read(access.identify, wrong)
    with pytest.raises(Unauthenticated):
        register.read(access.identify, secret + "\n")


def test_no_secret_is_in_the_database_or_the_log(register: Register) -> None:
    made = register.write(access.create, "ci", roles=["viewer"])

    body = made.secret.removeprefix("hb_")[8:]
    for table in ("tokens", "events"):
        with register.database.reading() as connection:
            rows = connection.exec_driver_sql(f"SELECT * FROM {table}").all()  # noqa: S608
        assert body not in str(rows)


def test_tokens_come_newest_first_page_by_page(register: Register) -> None:
    made = [register.write(access.create, f"ci-{n}", roles=["viewer"]).token for n in range(5)]

    first = register.read(access.page, page_size=3)
    rest = register.read(access.page, page_size=3, page=first.next)

    assert [t.id for t in (*first.items, *rest.items)] == [t.id for t in reversed(made)]
    assert rest.next is None


def test_use_is_noted_to_the_hour_and_admins_are_known(register: Register) -> None:
    made = register.write(access.create, "ci", roles=["viewer"])
    assert not register.read(access.has_admin)
    register.write(access.create, "ops", roles=["admin:search/*"])
    assert not register.read(access.has_admin)
    register.write(access.create, "ops", roles=["admin"])
    assert register.read(access.has_admin)

    register.write(access.used, made.token)

    (found,) = [t for t in register.read(access.page).items if t.id == made.token.id]
    assert found.last_used_at == NOON.replace(minute=0)
    with pytest.raises(NotFound):
        register.write(access.revoke, "nothere0")


def test_answers_are_kept_by_key_and_actor(register: Register) -> None:
    def keep(work: Any, key: str, by: str) -> None:
        work.replays.keep(key, by, request="digest", status=201, body="{}")

    register.write(keep, "k", "ci")

    with register.tried() as work:
        assert work.replays.find("k", "ci") == ("digest", 201, "{}")
        assert work.replays.find("k", "other") is None
        assert work.replays.find("x", "ci") is None
    register.write(keep, "k", "other")
    with pytest.raises(KeyReused, match="ask again"):
        register.write(keep, "k", "ci")
    with register.tried() as work:
        work.replays.forget(register.clock.at + timedelta(days=1))
        assert work.replays.find("k", "ci") is None
