"""Many writers of the same documents while those are moved: both places agree in the end."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import herdbook as hb
from herdbook.core import stamps
from herdbook.core.migrations import MigrationPhase, Options
from herdbook.front.moving import collections as collections_module
from herdbook.front.moving.collections import OpenCollection
from tests import hashed
from tests.front.collected import UNMEASURED, Herd, stop_at

WRITERS = 8
IDS = [f"d{at:03}" for at in range(6)]


@contextmanager
def writing(
    collections: list[OpenCollection], act: Callable[[OpenCollection, int], None]
) -> Iterator[list[Any]]:
    """Let threads write all the while; gives what went wrong."""
    stopping, wrong = threading.Event(), []

    def run(collection: OpenCollection, seed: int) -> None:
        turn = 0
        while not stopping.is_set():
            turn += 1
            try:
                act(collection, seed * 1_000_000 + turn)
            except hb.errors.Unavailable:
                continue
            except Exception as error:  # noqa: BLE001 - the test looks
                wrong.append(error)
                return

    threads = [
        threading.Thread(target=run, args=(collection, seed), daemon=True)
        for seed, collection in enumerate(collections)
    ]
    for thread in threads:
        thread.start()
    yield wrong
    stopping.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def hammer(collection: OpenCollection, seed: int) -> None:
    """Write or delete some of a few documents."""
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    ids = rng.sample(IDS, 2)
    if rng.random() < 0.3:
        collection.delete(ids)
    else:
        collection.add([f"{id} by {seed}" for id in ids], ids=ids, metadata=[{"by": seed}] * 2)


def differing(herd: Herd) -> list[str]:
    """Documents whose two places say something else."""
    found = herd.documents.get("docs")
    assert found.beside is not None
    one, two = herd.contents(found.home.place), herd.contents(found.beside.place)
    return [
        id
        for id in one.keys() | two.keys()
        if id not in one
        or id not in two
        or one[id][0] != two[id][0]
        or one[id][1][stamps.CONTENT] != two[id][1][stamps.CONTENT]
    ]


@pytest.mark.parametrize("kind", ["pgvector", "qdrant"])
def test_eight_threads_leave_both_places_equal(herd: Herd) -> None:
    collection = herd.created(40)

    # Each with what it knows of its own, as eight processes have it.
    with writing([herd.documents.open("docs") for _ in range(WRITERS)], hammer) as wrong:
        found = herd.moved("v2", options=Options(shard=5))
        assert found.phase is MigrationPhase.VERIFIED
        time.sleep(0.2)
        herd.documents.cut_over("docs")
        time.sleep(0.2)

    assert not wrong
    assert differing(herd) == []
    for id, (text, metadata, row) in herd.contents().items():
        assert max(abs(hashed.two([text])[0] - row)) < 1e-4, id
        assert metadata["embedding_model_version"] == "v2"
    assert collection.count() >= 34


@pytest.mark.parametrize("kind", ["pgvector"])
def test_registers_of_their_own_agree_too(herd: Herd) -> None:
    herd.created(10)
    with pytest.raises(KeyboardInterrupt):
        herd.moved(
            "v2", encoder="python:tests.hashed:two", carrying=stop_at(MigrationPhase.CATCH_UP)
        )
    books = [hb.connect() for _ in range(4)]

    with writing([book.documents.open("docs") for book in books], hammer) as wrong:
        time.sleep(2)

    assert not wrong
    assert differing(herd) == []
    assert herd.moved("v2", demands=UNMEASURED).phase is MigrationPhase.VERIFIED
    for book in books:
        book.close()


@pytest.mark.parametrize("kind", ["pgvector"])
def test_writers_that_do_not_look_again_leave_places_that_differ(
    herd: Herd, monkeypatch: pytest.MonkeyPatch
) -> None:
    herd.created(10)
    with pytest.raises(KeyboardInterrupt):
        herd.moved(
            "v2", encoder="python:tests.hashed:two", carrying=stop_at(MigrationPhase.CATCH_UP)
        )
    monkeypatch.setattr(collections_module, "agreed", lambda *_: None)
    books = [hb.connect() for _ in range(4)]

    for _ in range(10):
        with writing([book.documents.open("docs") for book in books], hammer):
            time.sleep(1)
        if differing(herd):
            break

    assert differing(herd)
    for book in books:
        book.close()
