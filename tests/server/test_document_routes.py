"""Every verb of documents through a server: the same values, the same refusals."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import herdbook
from herdbook.client import routes
from herdbook.client.remote import RemoteDoor
from herdbook.core.documents import Bridge
from herdbook.core.migrations import Estimate, MigrationPhase, Options, Step, Way
from herdbook.core.vectors import Place
from herdbook.errors import AlreadyExists, Conflict, HerdbookError, Invalid, NotFound, Refused
from herdbook.front.documents import Documents
from herdbook.services.verbs import READS, WRITES
from tests.documents import DRIVER, MODEL, encoder, outcome, shards, space, verification
from tests.running import served
from tests.server.conftest import Served


class Told(RemoteDoor):
    """A door that remembers which verbs were asked for."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.verbs: set[str] = set()

    def call(self, kind, verb, /, **arguments):  # type: ignore[no-untyped-def]
        """Run a verb."""
        self.verbs.add(verb)
        return super().call(kind, verb, **arguments)

    def page(self, kind, verb, /, **arguments):  # type: ignore[no-untyped-def]
        """Run a verb."""
        self.verbs.add(verb)
        return super().page(kind, verb, **arguments)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server whose register has versions of a model."""
    url = f"sqlite:///{tmp_path_factory.mktemp('served')}/herdbook.db"
    with herdbook.connect(url) as book:
        for number in ("v1", "v2", "v3"):
            book.models.register(MODEL, number, git_commit="")
    with served(url) as found:
        yield found


def test_the_whole_story_is_told_through_a_server(address: str) -> None:  # noqa: PLR0915 - all of it
    door = Told(address)
    book = Documents(door)

    made = book.register(
        "handbook",
        model=MODEL,
        store="lancedb:/vectors",
        place=Place(collection="handbook"),
        encoder=encoder(),
        space=space(),
    )
    assert book.get("handbook") == made
    assert book.page(model=MODEL, size=1).items == (made,)
    assert book.identify("handbook", encoder=encoder(), space=space()).epoch == 2
    bridge = Bridge(
        collection="handbook",
        encoder=encoder("v2"),
        space=space("v2"),
        onto=space().fingerprint,
        kind="ridge",
        map="AAAA" * 700_000,
        pairs=500,
        scores={"old": 0.7, "identity": 0.0, "bridge": 0.9},
        expires_at=datetime.now(UTC) + timedelta(days=1),
    )
    book.bridge("handbook", bridge)
    assert book.bridging("handbook") == bridge
    assert book.unbridge("handbook").bridge == ""
    assert book.bridging("handbook") is None

    steps = (Step(from_version="v1", to_version="v2", way=Way.REEMBED),)
    tried = book.start(
        "handbook",
        to_version="v2",
        steps=steps,
        encoder=encoder("v2"),
        options=Options(rate=5.5),
        place=Place(collection="next"),
        dry_run=True,
    )
    key = book.start("handbook", to_version="v2", encoder=encoder("v2")).id
    assert (tried.id, tried.target.place.collection, tried.options.rate) == ("", "next", 5.5)
    assert book.claim(key, driver="driver-0").driver == "driver-0"
    taken = book.claim(key, driver=DRIVER, lease_seconds=60, dead="driver-0")
    assert taken.driver == DRIVER
    estimate = Estimate(
        documents=9, sampled=3, tokens=90, seconds=1.5, cost=0.1, space_bytes=99,
        set_aside={"no text": 1}, spaces={"": 9}, examples=({"id": "d1", "after": {"n": [1]}},),
    )  # fmt: skip
    told = book.advance(key, driver=DRIVER, to=MigrationPhase.REHEARSED, estimate=estimate)
    assert told.estimate == estimate
    book.advance(key, driver=DRIVER, to=MigrationPhase.TARGET, space=space("v2"))
    book.advance(key, driver=DRIVER, to=MigrationPhase.DUAL_WRITE)
    book.advance(key, driver=DRIVER, to=MigrationPhase.BACKFILL)
    assert book.cut(key, driver=DRIVER, shards=shards(3)).documents == 30
    assert book.shards(key, after=1, size=1).items == tuple(shards(1, first=2))
    settled = book.settle(key, driver=DRIVER, outcomes=[outcome(n) for n in (1, 2)])
    assert settled.progress.shards_done == 2
    book.settle(key, driver=DRIVER, outcomes=[outcome(3, "ä", "b")])
    assert [each.id for each in book.set_aside(key).items] == ["b", "ä"]
    assert book.take_back(key, driver=DRIVER, ids=["b"]).progress.set_aside == 1
    assert book.bury(key, ids=["x", "y"]).buried == 2
    assert book.buried(key, after=1, size=1).items == ("y",)
    assert book.pause(key, reason="night").reason == "night"
    gone_on = book.resume(key, budget=2.5)
    assert (gone_on.paused, gone_on.options.budget) == (False, 2.5)
    book.advance(key, driver=DRIVER, to=MigrationPhase.CATCH_UP)
    book.advance(key, driver=DRIVER, to=MigrationPhase.VERIFY)
    with pytest.raises(Refused, match="not verified"):
        book.cut_over(key)
    said = verification()
    verified = book.advance(key, driver=DRIVER, to=MigrationPhase.VERIFIED, verification=said)
    assert verified.verification == said
    assert book.leave(key, driver=DRIVER).driver == ""
    assert book.cut_over(key).phase is MigrationPhase.CUT_OVER
    assert book.observe(key).phase is MigrationPhase.OBSERVE
    assert book.retire(key).phase is MigrationPhase.RETIRED
    assert book.get("handbook").home.space == space("v2")
    asked = book.request_migration(MODEL, from_version="2.0.0", to_version="3.0.0")
    assert book.roll_back(asked.id, reason="no").reason == "no"
    assert [each.id for each in book.migrations(collection="handbook").items] == [asked.id, key]
    assert book.migration(key).phase is MigrationPhase.RETIRED
    assert book.remove("handbook").name == "handbook"

    assert door.verbs == {verb for verb in (*READS, *WRITES) if verb.startswith("documents.")}
    assert door.verbs == {verb for verb in routes.ROUTES if verb.startswith("documents.")}
    door.close()


def test_ten_thousand_go_through_and_more_do_not(address: str) -> None:
    with herdbook.connect(address) as book:
        register = book.documents.register
        register(
            "many",
            model=MODEL,
            store="lancedb:/vectors",
            place=Place(collection="many"),
            encoder=encoder(),
            space=space(),
        )
        key = book.documents.start("many", to_version="v2").id
        book.documents.claim(key, driver=DRIVER)
        ids = [f"{'ä' * 200}{at}" for at in range(10_000)]

        assert book.documents.bury(key, ids=ids).buried == 10_000
        cut = book.documents.cut(key, driver=DRIVER, shards=shards(10_000))
        done = [outcome(at) for at in range(1, 10_001)]
        assert cut.shards == 10_000
        assert book.documents.settle(key, driver=DRIVER, outcomes=done).progress.done
        with pytest.raises(Invalid, match="at most 10000"):
            book.documents.bury(key, ids=[*ids, "x"])


def test_refusals_are_those_of_the_register(address: str) -> None:
    with herdbook.connect(address) as book:
        said = {"model": MODEL, "place": Place(collection="docs")}
        book.documents.register("taken", store="lancedb:/v", **said)  # type: ignore[arg-type]
        wrong: list[tuple[type[HerdbookError], str, str]] = [
            (AlreadyExists, "taken", "lancedb:/v"),
            (Invalid, "a/b", "lancedb:/v"),
            (Invalid, "docs", "qdrant://u:hunter2@host"),
        ]

        for error, name, store in wrong:
            with pytest.raises(error):
                book.documents.register(name, store=store, **said)  # type: ignore[arg-type]
        with pytest.raises(NotFound):
            book.documents.get("a/b")
        with pytest.raises(NotFound):
            book.documents.migration("migration-77")
        with pytest.raises(Conflict, match="nobody knows"):
            book.documents.start("taken", to_version="v2")


def test_what_may_not_be_seen_is_not_found(guarded: Served) -> None:
    guarded.book.models.register(MODEL, "v1")
    guarded.book.models.register(MODEL, "v2")
    guarded.book.documents.register(
        "handbook",
        model=MODEL,
        store="lancedb:/vectors",
        place=Place(collection="handbook"),
        encoder=encoder(),
        space=space(),
    )
    key = guarded.book.documents.start("handbook", to_version="v2").id
    stranger, writer = guarded.holding("deployer:gnn"), guarded.holding("contributor:deepset/*")

    assert stranger.get("/documents/collections/handbook").status_code == 404
    assert stranger.get(f"/documents/migrations/{key}").status_code == 404
    assert stranger.post(f"/documents/migrations/{key}/roll-back").status_code == 404
    assert stranger.get("/documents/collections").json()["items"] == []
    assert stranger.get("/documents/migrations").json()["items"] == []
    assert writer.get(f"/documents/migrations/{key}").json()["id"] == key
    for verb in ("cut-over", "observe", "roll-back", "retire"):
        assert writer.post(f"/documents/migrations/{key}/{verb}").status_code == 403
    assert writer.delete("/documents/collections/handbook/bridge").status_code == 403


def test_an_address_is_never_kept_with_a_secret(tmp_path: Path) -> None:
    with herdbook.connect(f"sqlite:///{tmp_path}/herdbook.db") as book:
        book.models.register(MODEL, "v1")
        with pytest.raises(Invalid):
            book.documents.register(
                "x", model=MODEL, store="qdrant://u:hunter2@host", place=Place(collection="x")
            )
        book.close()

    held = b"".join(each.read_bytes() for each in tmp_path.glob("herdbook.db*"))
    assert b"hunter2" not in held
