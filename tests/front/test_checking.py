"""Checking files against each other: every kind of file and column, and what is no column."""

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from herdbook.core.checking import Check, ColumnCheck, Limits, Verdict
from herdbook.errors import Invalid, MissingExtra, NotFound, Unavailable
from herdbook.front.checking import check_files
from herdbook.stats.counting import SAMPLE

Columns = dict[str, Any]


def columns(seed: int, *, rows: int = 3_000, shift: float = 0.0) -> Columns:
    rng = np.random.default_rng(seed)
    return {
        "score": rng.normal(size=rows) + shift,
        "age": rng.integers(0, 90, rows),
        "country": rng.choice(["de", "at", "ch"], rows),
        "valid": rng.random(rows) < 0.5,
    }


def written(path: Path, data: Columns) -> Path:
    table = pa.table(data)
    if path.suffix == ".csv":
        csv.write_csv(table, path)
    elif path.suffix == ".npz":
        arrays: Any = {name: np.asarray(values) for name, values in data.items()}
        np.savez(path, **arrays)
    else:
        parquet.write_table(table, path, row_group_size=1_000)
    return path


def of(found: Check, name: str) -> ColumnCheck:
    return next(each for each in found.columns if each.column == name)


@pytest.mark.parametrize("one", ["a.parquet", "a.csv", "a.npz"])
@pytest.mark.parametrize("two", ["b.parquet", "b.csv", "b.npz"])
def test_files_of_any_kind_are_compared(tmp_path: Path, one: str, two: str) -> None:
    reference = written(tmp_path / one, columns(1))
    current = written(tmp_path / two, columns(2, shift=0.5))

    found = check_files(reference, current)

    assert found.drifted == ("score",)
    assert {each.column for each in found.columns} == {"score", "age", "country", "valid"}
    score = of(found, "score")
    assert score.ks == pytest.approx(0.2, abs=0.03)
    assert score.wasserstein == pytest.approx(0.5, abs=0.05)
    assert score.current.mean == pytest.approx(0.5, abs=0.06)
    assert score.moved


def test_the_counts_are_the_same_whatever_the_file(tmp_path: Path) -> None:
    data, other = columns(1), columns(2)
    current = written(tmp_path / "b.parquet", other)

    found = [
        check_files(written(tmp_path / f"a{ending}", data), current).columns
        for ending in (".parquet", ".csv", ".npz")
    ]

    assert found[0] == found[1] == found[2]


def test_long_columns_are_counted_in_full(tmp_path: Path) -> None:
    rows = 3 * SAMPLE
    rng = np.random.default_rng(1)
    one, two = rng.normal(size=rows), rng.normal(size=rows) + 0.01
    paths = [written(tmp_path / f"{at}.parquet", {"score": x}) for at, x in enumerate((one, two))]

    score = of(check_files(*paths), "score")

    both = np.sort(np.concatenate([one, two]))
    sides = (np.searchsorted(np.sort(side), both, side="right") / rows for side in (one, two))
    exact = np.abs(np.subtract(*sides)).max()
    assert (score.reference.values, score.current.values) == (rows, rows)
    assert score.ks == pytest.approx(exact, abs=1 / 1024 + 1e-9)
    assert score.ks <= exact + 1e-12
    # Significant among so many, and nothing to be told of.
    assert score.p_value is not None
    assert score.verdict is Verdict.STABLE


def test_a_tiny_change_of_many_values_is_no_drift_but_is_told(tmp_path: Path) -> None:
    paths = [
        written(
            tmp_path / f"{at}.parquet", {"score": columns(at, rows=150_000, shift=shift)["score"]}
        )
        for at, shift in ((1, 0.0), (2, 0.05))
    ]

    score = of(check_files(*paths), "score")

    assert score.verdict is Verdict.STABLE
    assert score.p_value is not None
    assert score.p_value < 0.01
    assert "small change" in score.why


def test_few_values_say_nothing_and_too_few_for_the_threshold_are_told(tmp_path: Path) -> None:
    long = written(tmp_path / "a.parquet", columns(1))
    three = written(tmp_path / "three.parquet", columns(2, rows=3))
    some = written(tmp_path / "some.parquet", columns(3, rows=100))

    of_three, of_some = (check_files(long, other) for other in (three, some))

    assert {each.verdict for each in of_three.columns} == {Verdict.INSUFFICIENT}
    assert "30 of each are needed" in of(of_three, "score").why
    assert "cannot tell KS 0.1 from chance" in of(of_some, "score").why
    assert of_some.drifted == ()


def test_a_large_change_shows_in_few_values_too(tmp_path: Path) -> None:
    long = written(tmp_path / "a.parquet", columns(1))
    some = written(tmp_path / "some.parquet", columns(3, rows=60, shift=2.0))

    assert check_files(long, some).drifted == ("score",)


def test_missing_values_that_jump_are_drift(tmp_path: Path) -> None:
    one, two = columns(1), columns(2)
    two["score"] = np.where(np.arange(3_000) % 5 == 0, math.nan, two["score"])
    two["age"] = [None if at % 10 == 0 else int(age) for at, age in enumerate(two["age"])]
    two["country"] = [None if at % 50 == 0 else str(c) for at, c in enumerate(two["country"])]
    paths = [written(tmp_path / "a.parquet", one), written(tmp_path / "b.csv", two)]

    found = check_files(*paths)

    assert set(found.drifted) == {"score", "age"}
    assert "missing values rose from 0.0% to 20.0%" in of(found, "score").why
    assert of(found, "country").current.missing == 60


def test_infinite_and_constant_and_empty_columns_do_no_harm(tmp_path: Path) -> None:
    rows = 1_000
    data = {
        "infinite": np.full(rows, math.inf),
        "nan": np.full(rows, math.nan),
        "same": np.full(rows, 7.0),
        "huge": np.where(np.arange(rows) % 2, 1e308, -1e308),
        "none": pa.nulls(rows),
        "unsaid": pa.array([None] * rows, pa.string()),
    }
    paths = [written(tmp_path / name, data) for name in ("a.parquet", "b.parquet")]

    found = check_files(*paths)

    assert found.drifted == ()
    assert of(found, "same").wasserstein is None
    assert of(found, "huge").reference.sd is None
    assert of(found, "nan").verdict is Verdict.INSUFFICIENT
    assert found.left_out == {"none": "it is empty in both files"}
    json.dumps([each.p_value for each in found.columns], allow_nan=False)


def test_a_constant_that_changes_is_drift(tmp_path: Path) -> None:
    paths = [
        written(tmp_path / f"{at}.parquet", {"score": np.full(500, value)})
        for at, value in enumerate((7.0, 7.5))
    ]

    found = check_files(*paths)

    assert found.drifted == ("score",)
    assert of(found, "score").ks == 1


def test_a_new_category_is_drift_and_shown(tmp_path: Path) -> None:
    one, two = columns(1), columns(2)
    two["country"] = np.where(np.arange(3_000) % 3 == 0, "fr", two["country"])
    paths = [written(tmp_path / "a.parquet", one), written(tmp_path / "b.parquet", two)]

    found = check_files(*paths)

    assert found.drifted == ("country",)
    assert of(found, "country").moved[0].what == "(all others)"


def test_what_is_no_stream_is_left_out_with_a_word(tmp_path: Path) -> None:
    data = columns(1) | {
        "at": np.arange(3_000).astype("datetime64[s]"),
        "id": [f"unit-{at}" for at in range(3_000)],
        "raw": [b"x"] * 3_000,
        "lists": [[1.0] * (at % 3 + 1) for at in range(3_000)],
        "only": np.arange(3_000),
    }
    current = {name: values for name, values in data.items() if name != "only"}
    current["age"] = [str(age) for age in data["age"]]
    current["new"] = np.arange(3_000)
    paths = [written(tmp_path / "a.parquet", data), written(tmp_path / "b.parquet", current)]

    found = check_files(*paths)

    assert set(found.left_out) == {"at", "id", "raw", "lists", "age"}
    assert "times" in found.left_out["at"]
    assert "categorical now" in found.left_out["age"]
    assert (found.only_reference, found.only_current) == (("only",), ("new",))


def test_numbers_that_are_names_are_compared_as_such(tmp_path: Path) -> None:
    one, two = columns(1), columns(2)
    two["age"] = [str(age) for age in two["age"]]
    paths = [written(tmp_path / "a.parquet", one), written(tmp_path / "b.parquet", two)]

    found = check_files(*paths, categorical=["age"], columns=["age"])

    assert [each.column for each in found.columns] == ["age"]
    assert of(found, "age").form == "categorical"
    assert found.drifted == ()


def test_dictionaries_decimals_and_small_floats_are_read(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).normal(size=400)
    data = {
        "named": pa.array(["a", "b", None, "a"] * 100).dictionary_encode(),
        "money": pa.array(np.round(numbers, 2)).cast(pa.decimal128(20, 2), safe=False),
        "half": pa.array(numbers.astype(np.float16)),
        "coded": pa.array([1, 2, 3, 4] * 100).dictionary_encode(),
    }
    paths = [written(tmp_path / name, data) for name in ("a.parquet", "b.parquet")]

    found = check_files(*paths)

    assert found.left_out == {}
    assert of(found, "named").current.missing == 100
    assert of(found, "money").current.values == 400


def test_embeddings_are_compared_from_lists_and_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    one, two = rng.normal(size=(500, 16)), rng.normal(size=(500, 16)) + 0.3
    two[5, 3] = math.nan
    np.save(tmp_path / "a.npy", one.astype(np.float32))
    np.save(tmp_path / "same.npy", one)
    np.savez(tmp_path / "b.npz", values=two)
    for name, rows in (("a", one), ("b", two)):
        fixed = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 16)
        data = {"fixed": fixed, "listed": pa.array(rows.tolist())}
        parquet.write_table(pa.table(data), tmp_path / f"{name}.parquet")

    arrays = check_files(tmp_path / "a.npy", tmp_path / "b.npz")
    lists = check_files(tmp_path / "a.parquet", tmp_path / "b.parquet")
    same = check_files(tmp_path / "a.npy", tmp_path / "same.npy")

    assert arrays.drifted == ("values",)
    assert set(lists.drifted) == {"fixed", "listed"}
    assert of(arrays, "values").current.missing == 1
    apart = of(lists, "fixed").apart
    assert apart is not None
    assert (apart.dimensions, apart.sampled) == (16, (500, 499))
    assert apart.mmd_p == 0.002
    assert same.drifted == ()


def test_embeddings_of_other_dimensions_are_not_compared(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((50, 3)))
    np.save(tmp_path / "b.npy", np.ones((50, 4)))

    with pytest.raises(Invalid, match="3 dimensions in the reference and 4 now"):
        check_files(tmp_path / "a.npy", tmp_path / "b.npy")


def test_a_rhythm_in_the_rows_does_not_look_like_drift(tmp_path: Path) -> None:
    # A naive sample of every 16th row would see one machine of sixteen.
    rows = np.tile(np.arange(16.0), 40_000)
    paths = [written(tmp_path / f"{at}.parquet", {"machine": rows}) for at in range(2)]

    assert of(check_files(*paths), "machine").ks == 0


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    good = written(tmp_path / "good.parquet", columns(1))
    bad = {
        "text.parquet": b"this is no Parquet",
        "cut.parquet": good.read_bytes()[:-200],
        "empty.csv": b"",
        "twice.csv": b"a,a\n1,2\n",
        "ragged.csv": b"a,b\n1,2\n3\n",
        "bad.npy": b"nonsense",
        "bad.npz": b"nonsense",
        "table.xlsx": b"",
    }
    for name, raw in bad.items():
        (tmp_path / name).write_bytes(raw)

        with pytest.raises((Invalid, Unavailable), match=name):
            check_files(good, tmp_path / name)
    with pytest.raises(NotFound, match=r"no file 'none\.csv'"):
        check_files(good, tmp_path / "none.csv")
    with pytest.raises(Invalid, match="no column 'speed'"):
        check_files(good, good, columns=["speed"])


def test_a_column_that_turns_into_text_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("score,age\n" + "0.5,1\n" * 1_000_000 + "high,1\n")

    with pytest.raises(Invalid, match=r"a\.csv.*high"):
        check_files(path, path)

    found = check_files(path, path, categorical=["score"])
    assert found.drifted == ()


def test_csv_values_may_hold_line_ends_quotes_and_any_name(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv.gz"
    import gzip

    path.write_bytes(gzip.compress(b'"a\nb"\t"c""d"\n' + b'1\t"x\ny"\n2\t"z"\n' * 100))

    found = check_files(path, path)

    assert {each.column for each in found.columns} == {"a\nb", 'c"d'}


def test_objects_and_strange_arrays_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(
        tmp_path / "s.npz",
        fortran=np.asfortranarray(np.ones((9, 9))),
        cube=np.ones((2, 2, 2)),
        at=np.zeros(3, "datetime64[s]"),
        fine=np.arange(100),
    )

    with pytest.raises(Invalid, match="'values': it holds object, neither numbers"):
        check_files(tmp_path / "o.npy", tmp_path / "o.npy")
    strange = check_files(tmp_path / "s.npz", tmp_path / "s.npz")

    assert set(strange.left_out) == {"fortran", "cube", "at"}


@pytest.mark.parametrize(
    ("reference", "current", "told"),
    [
        ("score\n" + "1.5\n" * 99, "score\n" + "high\n" * 99, "categorical now"),
        ("score\n" + "nan\n" * 99, "score\n" + "nan\n" * 99, "empty in both files"),
        ("", "score\n1\n", "r.csv is empty: its first line names the columns"),
    ],
)
def test_files_of_which_nothing_can_be_compared_are_not_called_stable(
    tmp_path: Path, reference: str, current: str, told: str
) -> None:
    (tmp_path / "r.csv").write_text(reference)
    (tmp_path / "c.csv").write_text(current)

    with pytest.raises(Invalid, match=told):
        check_files(tmp_path / "r.csv", tmp_path / "c.csv")


def test_progress_comes_to_what_is_read(tmp_path: Path) -> None:
    said: list[int] = []
    paths = [written(tmp_path / f"{at}.parquet", columns(at)) for at in range(2)]

    check_files(*paths, said=said.append)

    whole = sum(path.stat().st_size for path in paths)
    assert 0.9 * whole <= sum(said) <= 1.1 * whole


def test_without_pyarrow_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.parquet", columns(1))
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(MissingExtra, match=r"pip install 'herdbook\[parquet\]'"):
        check_files(path, path)


def test_limits_are_shares() -> None:
    with pytest.raises(Invalid, match="threshold is 0"):
        Limits(threshold=0)
