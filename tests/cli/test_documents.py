"""Collections on the command line: made, adopted, proven, written, searched."""

import io
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.documents_samples import (
    COUNT,
    OLD,
    POOR,
    STORE,
    documents_file,
    done,
    held,
    shown,
    text_of,
)

__all__ = ["held"]


@pytest.fixture
def registered(run: Run) -> Run:
    """A register with gbert v1."""
    assert run("add", "gbert", "v1", "-q").status == 0
    return run


def legacy(store: str, name: str, *, encoder: str = "old", extra: int = 0) -> None:
    """Write vectors without a stamp, as another program does."""
    from herdbook.core.vectors import Batch, Place
    from herdbook.front.moving.choosing import absolute
    from herdbook.storage import vectors
    from tests import vectors_encoders

    texts = [text_of(n) for n in range(40)]
    embed = getattr(vectors_encoders, encoder)
    rows = embed(texts)
    rows /= (rows**2).sum(axis=1, keepdims=True) ** 0.5
    opened = vectors.opened(absolute(store))
    place = Place(collection=name)
    opened.create(place, dimension=rows.shape[1])
    opened.upsert(
        place, Batch([f"d{n}" for n in range(40)], list(texts), [{} for _ in texts], rows)
    )
    if extra:
        rows = rows[:extra][:, ::-1].copy()
        opened.upsert(
            place,
            Batch([f"x{n}" for n in range(extra)], list(texts[:extra]), [{} for _ in rows], rows),
        )
    opened.close()


def test_a_collection_is_made_written_searched_and_listed(held: Run) -> None:
    found = shown(held, "search", "docs", text_of(5), "-k", "3")
    table = done(held, "list").out

    assert found["items"][0]["id"] == "d0005"
    assert len(found["items"]) == 3
    assert found["items"][0]["metadata"]["embedding_model_version"] == "v1"
    assert table.splitlines()[1].split()[:3] == ["docs", "gbert:v1", "-"]
    assert done(held, "list", "-q").out == "docs\n"
    assert "64 dimensions" in done(held, "show", "docs").out
    assert shown(held, "show", "docs")["home"]["encoder"]["source"] == OLD


def test_a_store_s_relative_path_is_made_absolute(held: Run, tmp_path: Path) -> None:
    assert shown(held, "show", "docs")["store"] == f"lancedb:{tmp_path / 'vectors'}"


def test_the_options_of_an_encoder_arrive(registered: Run) -> None:
    words = (
        "create docs --ref gbert:v1 --store lancedb:vectors --collection handbook "
        f"--encoder {OLD} --query-prefix query: --prefix passage: --pooling mean --chunker c1 "
        "--price 0.5 --batch 7 --as-is"
    )

    spec = shown(registered, *words.split())["home"]

    assert spec["place"] == {"collection": "handbook", "field": ""}
    assert spec["space"]["normalized"] is False
    assert spec["encoder"].items() >= {
        "model": "gbert", "number": "v1", "source": OLD, "remote_model": "", "dimension": 0,
        "pooling": "mean", "prefix": "passage:", "query_prefix": "query:", "normalize": False,
        "chunker": "c1", "price_per_million_tokens": 0.5, "batch": 7,
    }.items()  # fmt: skip


def test_a_store_s_password_is_refused(registered: Run) -> None:
    line = f"create docs --ref gbert:v1 --store pgvector://me:secret@host/docs --encoder {OLD}"

    answer = registered("documents", *line.split())

    assert answer.status == 2
    assert "PGPASSWORD" in answer.err
    assert "secret" not in answer.err


def test_what_is_removed_stays_in_the_store(held: Run) -> None:
    asked = held("documents", "remove", "docs")
    assert asked.status == 2
    assert "--yes" in asked.err

    assert "stays in lancedb:" in done(held, "remove", "docs", "--yes").out

    assert shown(held, "list")["items"] == []
    found = shown(held, "inspect", "--store", STORE, "--collection", "docs")
    assert found["documents"] == COUNT


def test_inspect_takes_a_name_or_a_place(held: Run) -> None:
    for words in ([], ["docs", "--store", STORE], ["--store", STORE]):
        answer = held("documents", "inspect", *words)
        assert answer.status == 2
        assert "--collection" in answer.err


def test_legacy_vectors_are_unknown_until_a_sample_proves_them(registered: Run) -> None:
    legacy(STORE, "faq")
    told = done(registered, "adopt", "faq", "--model", "gbert", "--store", STORE).out
    assert "unknown" in told
    assert registered("documents", "search", "faq", "word3").status == 4
    assert "unknown 40" in done(registered, "inspect", "faq").out
    stamp = ["stamp", "faq", "--ref", "gbert:v1", "--encoder", OLD]

    tried = done(registered, *stamp, "--dry-run")
    assert "40 documents would be stamped" in tried.out
    assert "dry run" in tried.err
    assert "unknown 40" in done(registered, "inspect", "faq").out
    assert "40 documents are stamped" in done(registered, *stamp).out

    assert shown(registered, "search", "faq", text_of(3), "-k", "1")["items"][0]["id"] == "d3"
    assert "0 documents are stamped, 40 had been before" in done(registered, *stamp).out


def test_a_wrong_encoder_stamps_nothing(registered: Run) -> None:
    legacy(STORE, "faq")
    done(registered, "adopt", "faq", "--model", "gbert", "--store", STORE)

    answer = registered("documents", "stamp", "faq", "--ref", "gbert:v1", "--encoder", POOR)

    assert answer.status == 1
    assert "0 of" in answer.err
    assert "unknown 40" in done(registered, "inspect", "faq").out


def test_of_mixed_vectors_only_those_that_match_are_stamped(registered: Run) -> None:
    legacy(STORE, "faq", extra=6)
    done(registered, "adopt", "faq", "--model", "gbert", "--store", STORE)
    stamp = ["stamp", "faq", "--ref", "gbert:v1", "--encoder", OLD]
    assert registered("documents", *stamp).status == 1

    told = done(registered, *stamp, "--every").out

    assert "40 documents are stamped" in told
    assert "6 documents are of another space, and left alone" in told
    assert "mixed: " in done(registered, "inspect", "faq").out


def test_documents_come_from_standard_input_too(held: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [{"text": "without an id"}, {"id": "a", "text": "one"}, {"id": "a", "text": "two"}]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n".join(map(json.dumps, lines))))

    told = done(held, "add", "docs", "-").out

    assert told == "3 documents written to docs.\n"
    assert shown(held, "inspect", "docs")["documents"] == COUNT + 2
    assert shown(held, "search", "docs", "two", "-k", "1")["items"][0]["text"] == "two"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "it is no JSON"),
        ('["text"]', "it has no text"),
        ('{"id": "a"}', "it has no text"),
        ('{"id": 7, "text": "x"}', "its id is no text"),
        ('{"text": "x", "metadata": [1]}', "its metadata is no object"),
    ],
)
def test_a_line_that_is_no_document_is_named(held: Run, line: str, why: str) -> None:
    Path("more.jsonl").write_text(f'{{"id": "before", "text": "is written"}}\n\n{line}\n')

    answer = held("documents", "add", "docs", "more.jsonl")

    assert answer.status == 2
    assert f"more.jsonl, line 3: {why}" in answer.err
    assert shown(held, "inspect", "docs")["documents"] == COUNT + 1


def test_what_cannot_be_embedded_says_how_much_was_written(held: Run) -> None:
    documents_file("more.jsonl", count=256)
    with Path("more.jsonl").open("a") as file:
        file.write('{"id": "blank", "text": " "}\n')

    answer = held("documents", "add", "docs", "more.jsonl")

    assert answer.status == 2
    assert "from line 257 on: 'blank' cannot be embedded: it is blank" in answer.err
    assert "256 documents before were written" in answer.err


def test_a_collection_that_is_not_there_is_not_found(registered: Run) -> None:
    for words in ("show docs", "search docs x", "migrate docs --to v2", "status docs"):
        assert registered("documents", *words.split()).status == 3, words
