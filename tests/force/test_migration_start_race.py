"""Processes that begin a migration of one collection at once: one does, the others are told so."""

from collections.abc import Callable
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import create_engine, text

import herdbook
from herdbook import errors
from herdbook.core.spaces import EncoderSpec, Space
from herdbook.core.vectors import Place
from tests.force import champion

PROCESSES = 8
ROUNDS = 5
MODEL = "deepset/gbert-base"


def begin(gate: Barrier, url: str, seed: int) -> list[str]:
    """Begin a migration of each collection at the same moment as all others; give their ids."""
    assert seed >= 0
    begun: list[str] = []
    refused: list[str] = []
    with herdbook.connect(url) as book:
        for at in range(ROUNDS):
            gate.wait()
            try:
                begun.append(book.documents.start(f"docs{at}", to_version="v2").id)
            except errors.Conflict as error:
                refused.append(str(error))
    return [*begun, *(each for each in refused if "is under way" not in each)]


def naively(gate: Barrier, url: str, seed: int) -> list[str]:
    """Do the same as most scripts do: look whether there is one, then add one."""
    engine = create_engine(url, connect_args={"timeout": 30} if "sqlite" in url else {})
    begun = []
    for at in range(ROUNDS):
        gate.wait()
        with engine.begin() as connection:
            asked = text("SELECT count(*) FROM naive WHERE collection = :name")
            there = connection.execute(asked, {"name": f"docs{at}"}).scalar_one()
        if not there:
            with engine.begin() as connection:
                adding = text("INSERT INTO naive VALUES (:name)")
                connection.execute(adding, {"name": f"docs{at}"})
            begun.append(f"docs{at} by {seed}")
    engine.dispose()
    return begun


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a register of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/herdbook.db"
    return str(request.getfixturevalue("postgres_url"))


def at_once(work: Callable[..., list[str]], url: str) -> list[str]:
    """What all of them began."""
    seen: list[Any] = champion.at_once(work, [(url, seed) for seed in range(PROCESSES)])
    return [one for begun in seen for one in begun]


def test_of_processes_that_begin_at_once_one_does(url: str) -> None:
    with herdbook.connect(url) as book:
        for number in ("v1", "v2"):
            book.models.register(MODEL, number, git_commit="")
        for at in range(ROUNDS):
            book.documents.register(
                f"docs{at}",
                model=MODEL,
                store="lancedb:/vectors",
                place=Place(collection=f"docs{at}"),
                encoder=EncoderSpec(model=MODEL, number="v1", source="python:rag.embedding:embed"),
                space=Space(model=MODEL, number="v1", dimension=8),
            )

        begun = at_once(begin, url)

        assert len(begun) == len(set(begun)) == ROUNDS
        held = [book.documents.get(f"docs{at}").migration for at in range(ROUNDS)]
        assert sorted(held) == sorted(begun)
        assert len(book.documents.migrations().items) == ROUNDS
        assert book.events.verify().ok


def test_naive_code_is_found_out(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE naive (collection TEXT)"))
    engine.dispose()

    begun = at_once(naively, url)

    assert len(begun) > ROUNDS
