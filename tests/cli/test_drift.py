"""Drift on the command line: what people read, what programs get, what is drawn."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import herdbook
from tests.cli.conftest import Run, on_a_terminal
from tests.cli.samples import REF, sampled, watched
from tests.running import served

__all__ = ["watched"]


@pytest.fixture
def drifted(watched: Run) -> Run:
    """The same after gnn predicted as ever 300 times, and moved by a standard deviation 300 times.

    Its drift is proven, and a retraining is asked for.
    """
    sampled()
    sampled(1.0, seed=8)
    return watched


def shown(run: Run, *words: str) -> Any:
    """What a command says as JSON."""
    answer = run(*words, "--json")
    assert (answer.status, answer.err) == (0, ""), answer.err
    return json.loads(answer.out)


def test_the_story_of_a_drift(watched: Run) -> None:
    assert "insufficient data" in watched("drift", "list").out
    sampled()
    quiet = watched("drift", "list", "gnn")
    assert "No drift: nothing to do." in quiet.out
    assert watched("drift", "watch", "--once").status == 0

    sampled(1.0, seed=8)

    listed = watched("drift", "list")
    row = listed.out.splitlines()[1]
    assert row.startswith("gnn:v2.1.0    0.7  ")
    assert row.endswith("critical  drift-1      600        3  Critical drift! Retrain urgently.")
    told = watched("drift", "show", REF).out
    assert "  alarm         yes, drift-1\n" in told
    assert "  accuracy      about " in told
    assert "\nPREDICTION " in told
    looked = watched("drift", "watch", "--once")
    assert (looked.status, looked.err) == (1, "")
    assert "gnn:v2.1.0  critical, score 0.70, drift-1: Critical drift!" in looked.out
    assert "drift-1  gnn:v2.1.0  critical   0.7" in watched("drift", "episodes", "gnn").out
    claimed = watched("drift", "claim", "drift-1", "--by", "night-job")
    assert claimed.out == "night-job has the retraining of gnn:v2.1.0 (drift-1).\n"
    watched("add", "gnn", "v2.2.0", "--parent", REF)
    done = watched("drift", "retrained", "drift-1", "v2.2.0")
    assert done.out == "gnn:v2.2.0 came of the retraining of gnn:v2.1.0 (drift-1).\n"
    assert "came to v2.2.0" in watched("drift", "episodes").out
    assert "── v2.2.0" in watched("tree", "gnn").out
    gone = watched("drift", "unwatch", REF, "--yes")
    assert gone.out == "gnn:v2.1.0 is watched no more.\n"
    assert watched("drift", "list").out.startswith("No version is watched")
    assert "drift-1" in watched("drift", "episodes").out


def test_programs_get_what_the_front_gives(drifted: Run) -> None:
    report = shown(drifted, "drift", "show", REF)
    listed = shown(drifted, "drift", "list")["items"]
    hours = shown(drifted, "drift", "history", REF)["items"]

    seeds = ("status", "current_drift_score", "avg_drift_7d", "alert_triggered", "recommendation")
    assert report["status"] == "active"
    assert report["current_drift_score"] == pytest.approx(0.7)
    assert report["alert_triggered"] is True
    assert [{name: each[name] for name in seeds} for each in listed] == [
        {name: report[name] for name in seeds}
    ]
    assert listed[0]["names"] == ["confidence", "country", "prediction"]
    # The hour may have turned between the two.
    assert sum(each["values"] for each in hours) == 600
    with herdbook.connect() as book:
        assert [each["hour"] for each in hours] == [e.hour for e in book.drift.history(REF).items]


def test_what_is_said_is_said_in_other_languages(drifted: Run) -> None:
    assert "Критический drift!" in drifted("drift", "show", REF, "--language", "ru").out
    assert "Kritische Drift!" in drifted("drift", "list", "--language", "de").out
    assert "Kritische Drift!" in drifted("drift", "watch", "--once", "--language", "de").out
    assert drifted("drift", "show", REF, "--language", "fr").status == 2


def test_the_score_and_two_distributions_are_drawn_with_characters(drifted: Run) -> None:
    told = drifted("drift", "show", REF, "--plot").out

    assert " 0.5 │┄┄┄" in told
    assert "168 hours ago" in told
    assert "prediction        reference (2,000)                 last 24 hours (600)" in told
    country = drifted("drift", "show", REF, "--stream", "country").out
    assert [f" {name} ▏" in country for name in ("de", "at", "ch")] == [True] * 3
    history = drifted("drift", "history", REF, "--hours", "24", "--plot").out
    assert "24 hours ago" in history


@pytest.mark.parametrize("stream", ["prediction", "country"])
def test_they_are_drawn_into_a_file(drifted: Run, tmp_path: Path, stream: str) -> None:
    words = ["drift", "show", REF, "--stream", stream, "--output"]
    assert drifted(*words, "drift.svg").out == "drift.svg is drawn.\n"
    assert shown(drifted, *words, "drift.png") == {"plot": "drift.png"}

    assert ElementTree.parse(tmp_path / "drift.svg").getroot() is not None  # noqa: S314
    assert (tmp_path / "drift.png").read_bytes().startswith(b"\x89PNG")
    assert drifted(*words, "drift.gif").status == 2
    assert drifted(*words, "no/where.png").status == 8


def test_nothing_is_drawn_of_what_is_not_watched(watched: Run, tmp_path: Path) -> None:
    watched("add", "gnn", "v3")

    answer = watched("drift", "show", "gnn:v3", "--output", "drift.svg")

    assert (answer.status, answer.out) == (3, "")
    assert "gnn:v3 is not watched" in answer.err
    assert not (tmp_path / "drift.svg").exists()
    assert "no reference" in watched("drift", "show", "gnn:v3").out


def test_on_a_terminal_nothing_is_sent_that_it_would_obey(drifted: Run) -> None:  # noqa: ARG001 - the register
    told = on_a_terminal("drift", "show", REF).out

    assert "\\x1b" not in told
    assert "critical" in told


SLIPS: list[tuple[str, int, str]] = [
    ("show gn:v2.1.0", 3, "did you mean gnn"),
    ("show gnn:v9", 3, "gnn has no version v9"),
    ("show gnn:v2.1.0 --stream contry", 3, "it has confidence, country, prediction"),
    ("list gn", 3, "did you mean gnn"),
    ("shw gnn", 2, "did you mean 'show'"),
    ("history gnn:v2.1.0 --hours 169", 2, "169"),
    ("unwatch gnn:v2.1.0", 2, "give --yes"),
    ("claim drift-77", 3, "herdbook drift episodes"),
    ("retrained drift-1 gnn:v3", 2, "give the number alone"),
    ("configure gnn:v2.1.0", 2, "give its name alone"),
    ("configure gnn --weights 1,2", 2, "write 0.4,0.3,0.3"),
    ("configure gnn --weights 1,2,3", 2, "shares that sum to 1"),
    ("configure gnn --thresholds .5,.3,.1", 2, "thresholds rise"),
    ("configure gnn --window 1", 2, "it must lie in 10 to"),
    ("configure gnn --run-length nan", 2, "run_length is nan"),
    ("configure gnn --mode guess", 2, "literal"),
    ("configure gn", 3, "did you mean gnn"),
    ("watch --every nan", 2, "--every"),
    ("watch --on-alarm nowhere-to-be-found", 2, "no program 'nowhere-to-be-found'"),
    ("watch gnn:v9 --once", 3, "no version v9"),
]


def test_each_slip_is_told_with_what_mends_it(watched: Run) -> None:
    for words, status, told in SLIPS:
        answer = watched("drift", *words.split())

        assert (answer.status, answer.out) == (status, ""), words
        assert told in answer.err, words
        assert answer.err.count("\n") == 1, words


def test_only_the_settings_that_are_given_change(watched: Run) -> None:
    before = shown(watched, "drift", "configure", "gnn")

    some = "configure gnn --window 500 --run-length 1e5"
    more = (
        "configure gnn --weights .5,.25,.25 --thresholds .2,.4,.6 --least 50 "
        "--confidence-drop 5% --spread 1 --cool-down-hours 2 --mode literal"
    )
    one, two = (shown(watched, "drift", *line.split()) for line in (some, more))

    assert one == before | {"window": 500, "run_length": 100_000.0}
    assert two == {
        "weights": [0.5, 0.25, 0.25], "thresholds": [0.2, 0.4, 0.6], "window": 500,
        "run_length": 100_000.0, "least": 50, "confidence_drop": 0.05, "spread": 1.0,
        "cool_down_hours": 2.0, "mode": "literal",
    }  # fmt: skip
    told = watched("drift", "configure", "gnn").out
    assert "  thresholds       watch from 0.2, retrain from 0.4, critical from 0.6\n" in told


def test_all_of_it_goes_through_a_server_too(drifted: Run, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("request,label\nr1,yes\n")
    with herdbook.connect() as book:
        url = book.address
    commands = [
        "list", "show gnn:v2.1.0", "show gnn:v2.1.0 --plot", "history gnn:v2.1.0", "episodes",
        "configure gnn", "claim drift-1 --by night-job", "labels gnn:v2.1.0 labels.csv",
        "watch --once",
    ]  # fmt: skip
    with served(url) as address:
        alarmed = drifted("drift", "watch", "--once", "--on-alarm", "true", "--url", address)
        there = [drifted("drift", *words.split(), "--url", address, "--json") for words in commands]
        frozen = drifted(
            *["drift", "reference", REF, "reference.csv", "--prediction", "score", "--replace"],
            *["--url", address],
        )
        with herdbook.connect(address) as book:
            told_by = book.drift.episodes().items[0].told_by

    assert [answer.status for answer in there] == [0] * 8 + [1], there
    assert [answer.err for answer in there] == [""] * 9
    assert (alarmed.status, alarmed.err) == (1, "drift-1: on-alarm: true\n")
    assert told_by
    assert frozen.out.startswith("gnn:v2.1.0 is watched, compared with:\n")
