"""Collections of documents for the tests of `herdbook documents`."""

import json
from pathlib import Path
from typing import Any

import pytest

import herdbook
from tests.cli.conftest import Answer, Run

COUNT = 120
STORE = "lancedb:vectors"
OLD, NEW, SLOW, POOR = (
    f"python:tests.vectors_encoders:{name}" for name in ("old", "new", "slow", "poor")
)
QUERIES = "queries.jsonl"


def text_of(number: int) -> str:
    """What a document says."""
    return f"document number {number} about word{number % 50} and topic{number % 7}"


def documents_file(name: str = "docs.jsonl", *, count: int = COUNT, poison: bool = False) -> str:
    """Write documents, a line of JSON each."""
    lines = [
        json.dumps({"id": f"d{n:04}", "text": text_of(n), "metadata": {"lang": "de", "n": n}})
        for n in range(count)
    ]
    lines += [json.dumps({"id": "bad", "text": "POISON here"})] if poison else []
    Path(name).write_text("\n".join(lines) + "\n")
    return name


def queries_file(name: str = QUERIES, *, count: int = COUNT) -> str:
    """Write labelled queries, one for every seventh document."""
    lines = [
        json.dumps({"query": f"number {n} word{n % 50} topic{n % 7}", "relevant": [f"d{n:04}"]})
        for n in range(0, count, 7)
    ]
    Path(name).write_text("\n".join(lines) + "\n")
    return name


def done(run: Run, *words: str) -> Answer:
    """Run a command that must end well."""
    answer = run("documents", *words)
    assert answer.status == 0, answer
    return answer


def shown(run: Run, *words: str) -> Any:
    """What a command of documents says as JSON."""
    return json.loads(done(run, *words, "--json").out)


def set_up(run: Run, *, store: str = STORE, poison: bool = False, count: int = COUNT) -> None:
    """Register gbert v1 and v2, and make `docs`, embedded by v1."""
    for number in ("v1", "v2"):
        assert run("add", "gbert", number, "-q").status == 0
    done(run, "create", "docs", "--ref", "gbert:v1", "--store", store, "--encoder", OLD)
    done(run, "add", "docs", documents_file(poison=poison, count=count))
    queries_file(count=count)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let other processes import the encoders of the tests."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.fixture
def held(run: Run) -> Run:
    """A register with `docs` of 120 documents, embedded by gbert:v1."""
    set_up(run)
    return run


Contents = dict[str, Any]


def contents(store: str) -> Contents:
    """All that is in a store, vectors included."""
    from herdbook.core.vectors import Place
    from herdbook.front.moving.choosing import absolute
    from herdbook.storage import vectors

    opened = vectors.opened(absolute(store))
    found: Contents = {}
    for name in opened.collections():
        place = Place(collection=name)
        for within in opened.ranges(place, size=1_000):
            batch = opened.read(place, within, vectors=True)
            found |= {
                f"{name}/{id}": (text, metadata, vector.tobytes())
                for id, text, metadata, vector in zip(
                    batch.ids, batch.texts, batch.metadata, batch.vectors, strict=True
                )
            }
    opened.close()
    return found


def exported() -> list[str]:
    """The whole register, as lines."""
    with herdbook.connect() as book:
        return list(book.export())
