"""References from files: every kind of file gives the same, every slip is told."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from herdbook.cli.drift_references import Named, references_of
from herdbook.cli.reference_files import Columns
from herdbook.errors import HerdbookError, Invalid, MissingExtra, NotFound
from herdbook.services import references
from tests.cli.conftest import Run
from tests.cli.samples import HEADS, REF, reference_rows, watched, write_csv

__all__ = ["watched"]
SCORE = Named(prediction="score")


def column(at: int, rows: int = 2_000) -> list[Any]:
    """A column of the rows."""
    return [row[at] for row in reference_rows(rows)]


def written(tmp_path: Path, ending: str) -> Path:
    """The rows in a file of a kind."""
    path = tmp_path / f"reference{ending}"
    columns = {head: column(at) for at, head in enumerate(HEADS)}
    if ending == ".parquet":
        parquet.write_table(pa.table(columns), path)
    elif ending == ".npz":
        arrays: dict[str, Any] = {head: np.array(held) for head, held in columns.items()}
        np.savez(path, **arrays)
    elif ending == ".tsv":
        text = ["\t".join(HEADS), *("\t".join(map(str, row)) for row in reference_rows())]
        path.write_text("\n".join(text))
    else:
        write_csv(path, reference_rows())
    return path


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".npz"])
def test_a_file_of_any_kind_gives_the_same_references(tmp_path: Path, ending: str) -> None:
    named = Named(prediction="score", features=("country",), correct="right", at="at")

    found = references_of(Columns(written(tmp_path, ending)), named)

    hours = [at // 3_600 for at in column(4)]
    assert found["prediction"] == references.numeric(column(0), hours=hours)
    assert found["country"] == references.categorical(column(2))
    assert found["confidence"].accuracy == references.accuracies(column(1), column(3))
    assert found.keys() == {"prediction", "confidence", "country"}


def test_the_one_array_of_a_npy_is_the_predictions(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array(column(0), dtype="f4"))

    found = references_of(Columns(tmp_path / "a.npy"), Named())

    assert found["prediction"].count == 2_000


def test_what_is_not_there_counts_as_missing(tmp_path: Path) -> None:
    rows = [(value, "x") for value in [*column(0, 100), "", "NaN", "null", "inf"]]
    write_csv(tmp_path / "a.csv", [*rows, ("1.5", ""), ("1.5", "NA")], ("prediction", "country"))

    found = references_of(Columns(tmp_path / "a.csv"), Named(features=("country",)))

    assert (found["prediction"].count, found["prediction"].missing) == (102, 4)
    assert (found["country"].count, found["country"].missing) == (104, 2)


def test_numbers_that_are_names_are_told_to_be(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [(at % 3,) for at in range(90)], ("prediction",))

    found = references_of(Columns(tmp_path / "a.csv"), Named(categorical=("prediction",)))

    assert found["prediction"].categories == ("0", "1", "2")
    with pytest.raises(Invalid, match="names no column that is used"):
        references_of(Columns(tmp_path / "a.csv"), Named(categorical=("label",)))


def test_times_are_texts_or_seconds(tmp_path: Path) -> None:
    texts = ["2026-01-14T12:30:00Z", "2026-01-14 13:00", 1_768_395_600, "1768395600.5"]
    write_csv(tmp_path / "a.csv", [(text,) for text in texts], ("at",))

    hours = Columns(tmp_path / "a.csv").hours("at")

    assert [hour - hours[0] for hour in hours] == [0, 1, 1, 1]


def test_parts_of_the_day_are_told_apart(tmp_path: Path) -> None:
    rows = [(row[0] + row[4] // 3_600 % 24, row[4]) for row in reference_rows(12_000)]
    write_csv(tmp_path / "a.csv", rows, ("score", "at"))

    found = references_of(Columns(tmp_path / "a.csv"), Named(prediction="score", at="at"))

    assert len(found["prediction"].slots) == 24


SLIPS: list[tuple[str, Named, str]] = [
    ("score\n1\n", Named(prediction="scroe"), "did you mean 'score'"),
    ("a,b\n1,2\n", Named(prediction="zzz"), "it has a, b"),
    ("a,b\n1,2\n", Named(), "no column called prediction or confidence; it has a, b"),
    ("score\n1\n2\n", SCORE, "score: a reference is made of at least 20 values"),
    ("score\n" + "nan\n" * 50, SCORE, "at least 20 values, not of 0 finite"),
    ("", SCORE, "is empty"),
    ("score,score\n1,2\n", SCORE, "several columns called 'score'"),
    ("score,b\n1\n", SCORE, "2 columns but 1 values in line 2"),
    ("score,r\n" + "1,x\n" * 30, Named(prediction="score", correct="r"), "give --confidence"),
    (
        "confidence,r\n" + "0.5,1\n" * 30 + "0.5,maybe\n",
        Named(correct="r"),
        "r says 'maybe' in row 31",
    ),
    ("score,at\n" + "1,2026-01-01\n" * 30 + "1,soon\n", Named(prediction="score", at="at"),
     "row 31: at 'soon' is not a time"),
    ("score\n" + "1.5\n" * 30 + "oops\n", SCORE,
     "score holds 30 numbers, and 'oops' in row 31: leave it empty where there is none, or say "
     "--categorical score"),
    ("confidence\n" + "87\n88\n" * 30, Named(), "confidence is 87 to 88; a confidence is 0 to 1"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "named", "told"), SLIPS)
def test_each_slip_is_told_with_what_mends_it(
    tmp_path: Path, text: str, named: Named, told: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)

    with pytest.raises(Invalid, match=told):
        references_of(Columns(path), named)


def test_what_is_no_file_of_its_kind_is_said(tmp_path: Path) -> None:
    cases: list[tuple[str, bytes, type[HerdbookError], str]] = [
        ("a.parquet", b"PAR1 not at all", Invalid, "is no Parquet"),
        ("a.npy", b"nothing", Invalid, "cannot be read"),
        ("a.npz", b"PK\x03\x04 nothing", Invalid, "cannot be read"),
        ("a.csv", b"score\n\xff\xfe\n", Invalid, "not UTF-8 .byte 0xff.; save it as UTF-8"),
        ("a.json", b"{}", Invalid, "ends in none of .csv"),
    ]
    for name, content, kind, told in cases:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(kind, match=told):
            Columns(tmp_path / name)
    with pytest.raises(NotFound, match=r"no file 'b\.csv'"):
        Columns(tmp_path / "b.csv")
    (tmp_path / "c.csv").mkdir()
    with pytest.raises(Invalid, match=r"'c\.csv' is a folder"):
        Columns(tmp_path / "c.csv")


def test_vectors_are_no_stream_and_it_is_said_what_is(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"emb": [[1.0, 2.0]] * 30}), tmp_path / "a.parquet")

    with pytest.raises(Invalid, match="emb holds vectors: watch a number made of each"):
        references_of(Columns(tmp_path / "a.parquet"), Named(features=["emb"]))


def test_numbers_among_texts_are_names_where_they_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("score\n" + "1\n" * 30 + "1b\n")

    found = references_of(
        Columns(tmp_path / "a.csv"), Named(prediction="score", categorical=["score"])
    )

    assert found["prediction"].categories == ("1", "1b")


def test_a_reference_that_will_hardly_see_anything_is_told_of(run: Run, tmp_path: Path) -> None:
    run("add", "gnn", "v2.1.0")
    (tmp_path / "sorted.csv").write_text("prediction\n" + "".join(f"{at}\n" for at in range(999)))
    (tmp_path / "named.csv").write_text("prediction\n" + "".join(f"n{at}\n" for at in range(999)))

    ordered, named = (
        run("drift", "reference", REF, name, "--dry-run") for name in ("sorted.csv", "named.csv")
    )

    assert "If they were sorted, freeze them in the order in which they came" in ordered.err
    assert "250 categories and 749 of others" in named.out
    assert "749 of 999 values are none of the 250 most frequent categories" in named.err


def test_arrays_that_are_no_columns_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.zeros(30), b=np.zeros(31))
    np.save(tmp_path / "wide.npy", np.zeros((30, 2)))
    np.save(tmp_path / "objects.npy", np.array([{}] * 30), allow_pickle=True)

    for name in ("a.npz", "wide.npy"):
        with pytest.raises(Invalid, match="arrays of one dimension and of the same length"):
            Columns(tmp_path / name)
    with pytest.raises(Invalid, match="cannot be read"):
        Columns(tmp_path / "objects.npy")


@pytest.mark.parametrize(("ending", "package"), [(".parquet", "pyarrow"), (".npz", "numpy")])
def test_what_reads_a_file_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, package: str
) -> None:
    path = written(tmp_path, ending)
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtra, match=r"pip install 'herdbook\[parquet\]'"):
        Columns(path)


def test_references_are_frozen_once(watched: Run) -> None:
    words = ["drift", "reference", REF, "reference.csv", "--prediction", "score"]
    same = [*words, "--feature", "country", "--correct", "right"]

    again, other = watched(*same), watched(*words)
    replaced = watched(*words, "--replace", "--json")

    assert (again.status, other.status, replaced.status) == (0, 4, 0)
    assert "references never change" in other.err
    assert sorted(json.loads(replaced.out)["references"]) == ["confidence", "prediction"]


def test_a_dry_run_freezes_nothing(run: Run, tmp_path: Path) -> None:
    run("add", "gnn", "v2.1.0")
    write_csv(tmp_path / "a.csv", reference_rows(200))

    words = ["drift", "reference", REF, "a.csv", "--prediction", "score"]
    answer = run(*words, "--dry-run")

    assert answer.out.startswith(f"{REF} would be watched, compared with:\n")
    assert "200 values are few" in answer.err
    assert "dry run" in answer.err
    assert run("drift", "list", "-q").out == ""


def test_a_reference_without_predictions_is_said_to_be_one(run: Run, tmp_path: Path) -> None:
    run("add", "gnn", "v2.1.0")
    write_csv(tmp_path / "a.csv", reference_rows())

    answer = run("drift", "reference", REF, "a.csv")

    assert answer.status == 0
    assert "No prediction is watched: --prediction COLUMN" in answer.err
