"""Collections of documents in real stores, and ways to stop what moves them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

import herdbook as hb
from herdbook.core import stamps
from herdbook.core.migrations import Check, Migration, MigrationPhase
from herdbook.core.vectors import Batch, Place, Vectors
from herdbook.front.moving.collections import OpenCollection
from herdbook.front.moving.moved import Carrying, MovedDocuments
from herdbook.front.moving.proving import Demands
from herdbook.front.moving.telling import News
from tests import hashed
from tests.postgres import PostgresServer

KINDS = ("chroma", "lancedb", "pgvector", "qdrant")
WITH_FIELDS = ("lancedb", "pgvector", "qdrant")
UNMEASURED = Demands(without_queries=True)
NUMBERS = ("v1", "v2", "v3")
PHASES = (
    MigrationPhase.PLANNED,
    MigrationPhase.REHEARSED,
    MigrationPhase.TARGET,
    MigrationPhase.DUAL_WRITE,
    MigrationPhase.BACKFILL,
    MigrationPhase.CATCH_UP,
    MigrationPhase.VERIFY,
)


def address_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> str:
    """Where an empty store of a kind is."""
    if kind != "pgvector":
        return f"{kind}:{folder / 'vectors'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    database = urlsplit(request.getfixturevalue("postgres_url")).path.strip("/")
    return f"pgvector:///{database}?host={quote(str(server.folder))}&user=postgres"


class Stopped(KeyboardInterrupt):
    """Somebody pressed Ctrl-C."""


def stop_at(phase: MigrationPhase) -> Carrying:
    """Press Ctrl-C when a phase begins."""

    def said(news: News) -> None:
        if news.phase is phase:
            raise Stopped

    return Carrying(said=said)


@dataclass
class Herd:
    """A register with versions of gbert, and a store."""

    book: hb.Herdbook
    address: str

    @property
    def documents(self) -> MovedDocuments:
        """Collections, and what moves them."""
        return self.book.documents

    @property
    def store(self) -> Vectors:
        """The store, past Herdbook."""
        return self.documents._opener.store(self.address)

    def created(
        self,
        count: int = 12,
        *,
        name: str = "docs",
        encoder: Any = hashed.one,
        number: str = "v1",
        **options: Any,
    ) -> OpenCollection:
        """A collection of documents d000, d001 and on."""
        made = self.documents.create(
            name, ref=f"gbert:{number}", store=self.address, encoder=encoder, **options
        )
        if count:
            ids = numbered(count)
            texts = [text_of(id) for id in ids]
            made.add(texts, ids=ids, metadata=[{"page": at} for at in range(count)])
        return made

    def moved(self, to: str = "v2", *, name: str = "docs", **said: Any) -> Migration:
        """Move documents, and measure nothing on queries."""
        given: dict[str, Any] = {"encoder": hashed.two, "demands": UNMEASURED} | said
        return self.documents.move(name, to=to, **given)

    def stopped(self, phase: MigrationPhase, to: str = "v2", **said: Any) -> Migration:
        """A migration that was stopped when a phase began."""
        try:
            self.moved(to, carrying=stop_at(phase), **said)
        except Stopped:
            return self.documents.status("docs")
        raise AssertionError(f"it never came to {phase}")

    def contents(self, place: Place | None = None) -> dict[str, tuple[Any, ...]]:
        """Everything at a place: text, metadata and vector by id."""
        place = place or self.documents.get("docs").home.place
        found: dict[str, tuple[Any, ...]] = {}
        for within in self.store.ranges(place, size=100):
            batch = self.store.read(place, within, vectors=True)
            for at, id in enumerate(batch.ids):
                assert id not in found
                row = tuple(float(x) for x in batch.vectors[at])
                found[id] = (batch.texts[at], dict(batch.metadata[at]), row)
        return found

    def bypass(self, place: Place, text: str, id: str, **metadata: Any) -> None:
        """Write a document as somebody does who does not know of Herdbook."""
        shape = self.store.look(place)
        assert shape is not None
        vector = hashed.hashed([f"past {id}"], seed=1, dimension=shape.dimension)
        self.store.upsert(place, Batch([id], [text], [dict(metadata)], vector))

    def events(self) -> list[str]:
        """What was recorded of documents, oldest first."""
        found = [each.action for each in self.book.events.each(model="gbert")]
        return [action for action in found if action.startswith("documents.")]


def numbered(count: int) -> list[str]:
    """Ids d000, d001 and on."""
    return [f"d{at:03}" for at in range(count)]


def text_of(id: str) -> str:
    """The text a document has at first."""
    return f"the text of {id} alone"


def stamp_of(collection: OpenCollection, id: str = "d000") -> stamps.Stamp:
    """How a document says it was embedded."""
    return stamps.read(collection.get([id]).metadata[0])


def hops(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The versions a document went through."""
    return [(each["from_version"], each["to_version"]) for each in stamps.history_of(metadata)]


def check_of(found: Migration, name: str) -> Check:
    """What a verification says of one condition."""
    assert found.verification is not None
    return next(check for check in found.verification.checks if check.name == name)


@contextmanager
def herd_in(address: str) -> Iterator[Herd]:
    """A register of this machine, and a store."""
    with hb.connect() as book:
        for number in NUMBERS:
            book.models.register("gbert", number)
        yield Herd(book, address)


class Counting:
    """An encoder that remembers what it was given, and may do more."""

    def __init__(self, embed: Callable[[Sequence[str]], Any] = hashed.two) -> None:
        self.embed = embed
        self.texts: list[str] = []

    def __call__(self, texts: Sequence[str]) -> Any:
        """Embed."""
        self.texts += texts
        return self.embed(texts)
