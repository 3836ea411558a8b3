"""What a live writer does while its document is on its way: neither undone nor revived.

The encoder waits in the middle of a shard, after the documents were read, until a live writer has
changed one of them and deleted another. A naive carrier, that overwrites and knows of no
deletions, fails the same test.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import herdbook as hb
from herdbook.core import stamps
from herdbook.core.migrations import Migration, MigrationPhase, Options
from herdbook.core.vectors import Batch, Place, Vectors
from herdbook.front.moving import moved, proving
from herdbook.front.moving.collections import OpenCollection
from herdbook.front.moving.driving import Driver
from tests import hashed

DEMANDS = proving.Demands(without_queries=True)


class Waiting:
    """An encoder that waits in the first shard of a backfill, after its documents were read."""

    def __init__(self, documents: moved.MovedDocuments) -> None:
        self.documents = documents
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, texts: Sequence[str]) -> Any:
        if len(texts) > 1 and not self.reached.is_set() and self.is_filling():
            self.reached.set()
            assert self.go_on.wait(30)
        return hashed.two(texts)

    def is_filling(self) -> bool:
        begun = self.documents.get("docs").migration
        return bool(begun) and self.documents.migration(begun).phase == "backfill"


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hb.Herdbook]:
    monkeypatch.setenv("HERDBOOK_HOME", str(tmp_path / "home"))
    with hb.connect() as book:
        for number in ("v1", "v2"):
            book.models.register("gbert", number)
        yield book


@pytest.fixture(params=["lancedb", "chroma", "qdrant"])
def collection(request: pytest.FixtureRequest, book: hb.Herdbook, tmp_path: Path) -> OpenCollection:
    found = book.documents.create(
        "docs",
        ref="gbert:v1",
        store=f"{request.param}:{tmp_path / 'vectors'}",
        encoder=hashed.one,
    )
    ids = [f"d{at}" for at in range(20)]
    found.add([f"{id} as it was" for id in ids], ids=ids)
    return found


def raced(book: hb.Herdbook, live: Callable[[], object]) -> None:
    """Do something live while the first shard is on its way, and let the migration end."""
    encoder = Waiting(book.documents)
    ended: list[object] = []

    def move() -> None:
        try:
            done = book.documents.move(
                "docs",
                to="v2",
                encoder=encoder,
                options=Options(shard=20),
                demands=DEMANDS,
            )
            ended.append(done)
        except hb.HerdbookError as error:
            ended.append(error)

    carrying = threading.Thread(target=move, daemon=True)
    carrying.start()
    assert encoder.reached.wait(30)
    live()
    encoder.go_on.set()
    carrying.join(60)
    assert not isinstance(ended[0], Exception), ended


def test_what_is_written_and_deleted_while_it_is_on_its_way_stays_so(
    book: hb.Herdbook, collection: OpenCollection
) -> None:
    raced(book, lambda: interfere(collection))

    target = book.documents.status("docs").target.place
    store = book.documents._opener.store(book.documents.get("docs").store)
    assert interference(store, target) == {"d1": "d1 written anew", "d2": None}


def interfere(collection: OpenCollection) -> None:
    collection.add(["d1 written anew"], ids=["d1"])
    collection.delete(["d2"])


def interference(store: Vectors, place: Place) -> dict[str, str | None]:
    found = store.fetch(place, ["d1", "d2"])
    texts = dict(zip(found.ids, found.texts, strict=True))
    return {id: texts.get(id) for id in ("d1", "d2")}


def forgetting(driver: Driver, mark: int) -> None:
    """Know of no deletions."""


def skipping(driver: Driver, _: Migration) -> Migration:
    """Do not look again."""
    return driver._to(MigrationPhase.VERIFY)


def test_a_naive_carrier_undoes_and_revives(
    book: hb.Herdbook, collection: OpenCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = book.documents._opener.store(book.documents.get("docs").store)
    upsert = store.upsert

    def overwriting(place: Place, batch: Batch) -> int:
        upsert(place, batch)
        return len(batch)

    monkeypatch.setattr(store, "insert", overwriting)
    monkeypatch.setattr(Driver, "_unbury", forgetting)
    monkeypatch.setattr(Driver, "_catch_up", skipping)

    raced(book, lambda: interfere(collection))

    target = book.documents.status("docs").target.place
    assert interference(store, target) == {"d1": "d1 as it was", "d2": "d2 as it was"}
    assert not book.documents.status("docs").verification.passed  # type: ignore[union-attr]
    assert stamps.read(store.fetch(target, ["d2"]).metadata[0]).write == "migration-1"
