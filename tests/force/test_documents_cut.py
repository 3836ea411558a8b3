"""Kill the cut-over wherever it is: readers see the old version or the new one, never a mix."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

import herdbook as hb
from herdbook.core import stamps
from herdbook.core.migrations import Options
from herdbook.core.spaces import EncoderSpec
from herdbook.front.moving import proving
from tests import hashed
from tests.force.moving import Zygote
from tests.postgres import PostgresServer

ENCODERS = {"v1": "python:tests.hashed:also_two", "v2": "python:tests.hashed:two"}
DEMANDS = proving.Demands(without_queries=True)
# Where the process that cuts over is killed: before anything, after the register's switch, at the
# end; and not at all.
POINTS = ("before", "switched", "followed", "never")


@pytest.fixture
def address(postgres_server: PostgresServer, postgres_url: str) -> str:
    database = urlsplit(postgres_url).path.strip("/")
    return f"pgvector:///{database}?host={quote(str(postgres_server.folder))}&user=postgres"


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> Iterator[hb.Herdbook]:
    monkeypatch.setenv("HERDBOOK_HOME", str(tmp_path / "home"))
    with hb.connect() as book:
        for number in ("v1", "v2"):
            book.models.register("gbert", number)
        found = book.documents.create("docs", ref="gbert:v1", store=address, encoder=ENCODERS["v1"])
        ids = [f"d{at}" for at in range(30)]
        found.add([f"the text of {id} alone" for id in ids], ids=ids)
        yield book


class Reader(threading.Thread):
    """Searches all the while, and says what did not fit together."""

    def __init__(self, search: Callable[[str], tuple[str, list[tuple[str, float, str]]]]) -> None:
        super().__init__(daemon=True)
        self.search = search
        self.stopping = threading.Event()
        self.seen: set[str] = set()
        self.mixed: list[str] = []
        self.searches = 0

    def run(self) -> None:
        while not self.stopping.is_set():
            at = self.searches % 30
            _, hits = self.search(f"the text of d{at} alone")
            spaces = {space for _, _, space in hits}
            id, score, _ = hits[0]
            # In its own space a text is exactly what it was; in another it is anywhere.
            if len(spaces) != 1 or id != f"d{at}" or score < 0.999:
                self.mixed.append(f"{id} {score} {spaces}")
            self.seen |= spaces
            self.searches += 1

    def stop(self) -> None:
        self.stopping.set()
        self.join(30)


def test_readers_never_see_a_mix_when_the_cut_over_is_killed(
    book: hb.Herdbook, tmp_path: Path
) -> None:
    with hb.connect() as other, (tmp_path / "log").open("w") as log:
        zygote = Zygote({}, log)
        opened = other.documents.open("docs")
        opened._fresh = 0.01

        def search(text: str) -> tuple[str, list[tuple[str, float, str]]]:
            hits = opened.search(text, k=5)
            return "", [(hit.id, hit.score, hit.metadata[stamps.SPACE]) for hit in hits]

        reader = Reader(search)
        reader.start()
        for turn in range(8):
            to = "v2" if turn % 2 == 0 else "v1"
            begun = book.documents.move("docs", to=to, encoder=ENCODERS[to], demands=DEMANDS)
            point = POINTS[turn % len(POINTS)]
            zygote.begin(point=point, migration=begun.id)
            status = zygote.ended()
            assert status == (0 if point == "never" else -signal.SIGKILL)
            found = book.documents.get("docs")
            assert found.home.space is not None
            was = book.documents.migration(begun.id).from_version
            assert found.home.space.number == (was if point == "before" else to)

            # To ask again ends what was begun.
            book.documents.cut_over(begun.id)
            book.documents.retire(begun.id)
        reader.stop()
        zygote.close()

    assert reader.searches > 20
    assert len(reader.seen) == 2
    assert reader.mixed == []


def test_a_switch_of_two_settings_is_seen_half_done(book: hb.Herdbook) -> None:
    begun = book.documents.move("docs", to="v2", encoder=ENCODERS["v2"], demands=DEMANDS)
    store = book.documents._opener.store(book.documents.get("docs").store)
    place, embed = begun.source.place, hashed.also_two

    def search(text: str) -> tuple[str, list[tuple[str, float, str]]]:
        hits = store.search(place, embed([text])[0], k=5)
        return "", [(hit.id, hit.score, str(hit.metadata[stamps.SPACE])) for hit in hits]

    reader = Reader(search)
    reader.start()
    place = begun.target.place  # the one setting; the process is killed before the other

    threading.Event().wait(0.5)
    reader.stop()

    assert reader.mixed


def test_a_second_migration_of_a_collection_is_refused(book: hb.Herdbook) -> None:
    book.documents.move("docs", to="v2", encoder=ENCODERS["v2"], demands=DEMANDS)
    book.models.register("gbert", "v3")

    with pytest.raises(hb.HerdbookError, match="to v2 is under way"):
        book.documents.move("docs", to="v3", encoder=ENCODERS["v2"])
    with pytest.raises(hb.HerdbookError, match="is under way"):
        book.documents.start("docs", to_version="v3")


def test_who_carries_a_migration_out_is_the_only_one(book: hb.Herdbook) -> None:
    begun = book.documents.start("docs", to_version="v2")
    book.documents.claim(begun.id, driver="another", lease_seconds=60)

    with pytest.raises(hb.HerdbookError, match="being carried out by another"):
        book.documents.move("docs")


def test_a_process_of_this_machine_that_was_killed_is_not_waited_for(book: hb.Herdbook) -> None:
    with subprocess.Popen(["true"]) as ended:
        child = ended.pid
    begun = book.documents.start(
        "docs", to_version="v2", encoder=spec("v2"), options=Options(shard=5)
    )
    host = os.uname().nodename
    book.documents.claim(begun.id, driver=f"{host}:{child}:abcdef", lease_seconds=3_600)

    assert book.documents.move("docs", demands=DEMANDS).phase == "verified"


def spec(number: str) -> EncoderSpec:
    return EncoderSpec(model="gbert", number=number, source=ENCODERS[number])
