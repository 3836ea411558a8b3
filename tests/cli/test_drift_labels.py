"""`herdbook drift labels`: true answers that come later."""

import io
import json
from pathlib import Path

import pytest

import herdbook
from herdbook.cli.drift_labels import chunks
from herdbook.errors import Invalid
from tests.cli.conftest import Run, in_own_process
from tests.cli.samples import REF, watched, write_csv

__all__ = ["watched"]


@pytest.fixture
def answered(watched: Run) -> Run:
    """A register that knows what was predicted for a hundred requests: half of it yes."""
    with herdbook.connect() as book:
        detector = book.drift.detector("gnn", "v2.1.0")
        for at in range(100):
            prediction = "yes" if at % 2 else "no"
            detector.add_production_sample(prediction, 0.9, request=f"r{at}")
        book.drift.flush()
    return watched


def test_labels_are_joined_by_request_in_any_number(answered: Run, tmp_path: Path) -> None:
    rows = [(f"r{at}", "yes" if at % 4 else "no", at) for at in range(25_000)]
    write_csv(tmp_path / "labels.csv", rows, ("Request", "label", "more"))

    answer = answered("drift", "labels", REF, "labels.csv")

    assert (answer.status, answer.err) == (0, "")
    assert answer.out == "100 of 25,000 labels are of known requests: 75 % right.\n"
    assert "75 % of 100 labelled ones" in answered("drift", "show", REF).out
    told = json.loads(answered("drift", "labels", REF, "labels.csv", "--json").out)
    assert told == {"labels": 100, "right": 75}


def test_requests_that_nobody_knows_are_told_of(answered: Run, tmp_path: Path) -> None:
    write_csv(tmp_path / "labels.csv", [("x", "yes")], ("request", "label"))

    answer = answered("drift", "labels", REF, "labels.csv")

    assert answer.out == "0 of 1 labels are of known requests.\n"
    assert "sampled with the id of its request" in answer.err


def test_labels_are_cut_into_pieces_that_a_register_takes() -> None:
    text = "request,label\n" + "".join(f"r{at},yes\n" for at in range(20_001))

    found = [len(chunk) for chunk in chunks(io.StringIO(text), "a.csv")]

    assert found == [10_000, 10_000, 1]


def test_a_mark_of_order_empty_lines_and_quotes_are_no_hindrance() -> None:
    text = '\ufeffrequest,label\n\n"r,1","yes\nindeed"\n\nr2,no\n'

    assert list(chunks(io.StringIO(text), "a.csv")) == [{"r,1": "yes\nindeed", "r2": "no"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has the columns none; it needs request and label"),
        ("a,b\n1,2\n", "has the columns a, b"),
        ("request,label\nr1,yes\nr2\n", "line 3 lacks its request or its label"),
        ("request,label\nr1,\n", "line 2 lacks"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        list(chunks(io.StringIO(text), "a.csv"))


def test_a_file_without_labels_and_no_file_are_told(watched: Run, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("request,label\n")
    (tmp_path / "latin.csv").write_bytes(b"request,label\nr1,\xe9\n")

    for name, told in (
        ("labels.csv", "labels.csv holds no label"),
        ("nowhere.csv", "nowhere.csv: No such file"),
        ("latin.csv", "latin.csv cannot be read as CSV"),
    ):
        answer = watched("drift", "labels", REF, name)
        assert (answer.status, answer.out) == (2, "")
        assert told in answer.err
    assert in_own_process("drift", "labels", REF, "-").status == 2
