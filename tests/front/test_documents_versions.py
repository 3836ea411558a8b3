"""Collections embedded by the files of registered versions, pulled and verified."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import herdbook as hb
from herdbook.core import stamps
from herdbook.core.migrations import Way
from herdbook.front.moving.moved import Carrying
from herdbook.front.moving.proving import Demands
from tests.encoders.graphs import DIMENSION, a_folder, a_graph

UNMEASURED = Demands(without_queries=True)
TEXTS = ["der antrag", "die police", "regen", "der regen", "die police : regen"]


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hb.Herdbook]:
    monkeypatch.setenv("HERDBOOK_HOME", str(tmp_path / "home"))
    folders = {
        "v1": a_folder(tmp_path / "one"),
        "v2": a_folder(tmp_path / "two", graph=a_graph(pools=True), pooling="cls_token"),
        "v3": a_folder(tmp_path / "three"),
    }
    with hb.connect() as book:
        for number, folder in folders.items():
            book.artifacts.push("gbert", number, path=folder)
        made = book.documents.create("docs", ref="gbert:v1", store=f"lancedb:{tmp_path / 'store'}")
        made.add(TEXTS, ids=[f"d{at}" for at in range(len(TEXTS))])
        yield book


def test_what_embeds_is_the_files_of_the_version(book: hb.Herdbook) -> None:
    found = book.documents.get("docs").home

    assert found.encoder is not None
    assert found.space is not None
    assert found.encoder.source == "herdbook:gbert:v1"
    assert found.space.digest == book.artifacts.files("gbert:v1").manifest
    assert (found.space.dimension, found.space.pooling) == (DIMENSION, "mean")
    assert book.documents.open("docs").search("der antrag", k=1)[0].id == "d0"


@pytest.mark.parametrize("workers", [0, 1])
def test_documents_move_to_the_files_of_another_version(book: hb.Herdbook, workers: int) -> None:
    done = book.documents.move(
        "docs", to="v2", demands=UNMEASURED, carrying=Carrying(workers=workers)
    )
    book.documents.cut_over("docs")

    assert done.phase == "verified"
    space = book.documents.get("docs").home.space
    assert space is not None
    assert (space.digest, space.pooling) == (book.artifacts.files("gbert:v2").manifest, "cls")
    stamp = stamps.read(book.documents.open("docs").get(["d0"]).metadata[0])
    assert (stamp.number, stamp.space) == ("v2", space.fingerprint)


def test_two_versions_with_the_same_files_are_one_space(book: hb.Herdbook) -> None:
    book.documents.register_strategy("gbert", "v1", "v3", way=Way.IDENTITY)
    before = book.documents.get("docs").home.space

    done = book.documents.move("docs", to="v3")

    assert done.phase == "verified"
    assert done.progress.tokens == 0
    assert before is not None
    assert done.target.space is not None
    assert done.target.space.fingerprint == before.fingerprint
    assert done.target.space.number == "v3"


def test_vectors_are_not_copied_to_a_version_of_another_space(book: hb.Herdbook) -> None:
    book.documents.register_strategy("gbert", "v1", "v2", way=Way.IDENTITY)

    with pytest.raises(hb.HerdbookError, match="not one space"):
        book.documents.move("docs", to="v2", encoder="herdbook:gbert:v2")


def test_an_adapter_moves_no_documents(book: hb.Herdbook) -> None:
    book.documents.register_strategy("gbert", "v1", "v2", way=Way.ADAPTER)

    assert not book.documents.can_migrate("gbert", "v1", "v2")
    assert book.documents.move("docs", to="v2", demands=UNMEASURED).embeds
