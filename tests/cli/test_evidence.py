"""What is known of an experiment, on the command line: figures, pictures, proofs of them."""

import json
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import herdbook
from tests.cli.conftest import Run

NAME = "majora_v3_test"


@pytest.fixture
def trying(example: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A register in which majora v3 is tried against v2, the champion."""
    # The same users get the same versions each time.
    monkeypatch.setattr("herdbook.services.experiments.secrets.token_hex", lambda _: "5a17" * 4)
    assert example("add", "majora", "v3", "-q").status == 0
    assert example("experiments", "start", NAME, "majora", "v3").status == 0
    return example


def serve(users: range, *, wrong: bool = False, gain: float = 0.0) -> None:
    """Let some users be served, and take in what came of it."""
    with herdbook.connect() as book:
        # Nobody else looks meanwhile, so that each batch is the test's own.
        book.experiments._calls.recorder._look = lambda: None
        for at in users:
            with book.serve("majora", unit=f"user{at}") as call:
                treated = call.variant == "treatment"
                call.observe(confidence=0.5 + (gain if treated else 0) + at % 7 / 100)
                if wrong and treated:
                    call.fail()
        book.experiments.flush()
        book.experiments.evaluate(NAME)


@pytest.fixture
def known(trying: Run) -> Run:
    """The same after three batches of a hundred users."""
    for at in range(3):
        serve(range(100 * at, 100 * at + 100), gain=0.2)
    return trying


def shown(run: Run, *words: str) -> Any:
    """What a command says as JSON."""
    answer = run(*words, "--json")
    assert (answer.status, answer.err) == (0, ""), answer.err
    return json.loads(answer.out)


# --- evaluate ---


def test_an_evaluation_tells_figures_intervals_proofs_and_what_to_do(known: Run) -> None:
    answer = known("experiments", "evaluate", NAME)

    assert (answer.status, answer.err) == (0, "")
    rows = [line.split() for line in answer.out.splitlines()]
    assert rows[0][:5] == ["ARM", "VERSION", "RESULTS", "UNITS", "ERRORS"]
    assert (rows[1][:2], rows[2][:2]) == (["control", "v2"], ["treatment", "v3"])
    assert int(rows[1][2]) + int(rows[2][2]) == 300
    for told in ("treatment (v3) against control", "are needed)"):
        assert told in answer.out
    table = [row[:1] for row in rows].index(["METRIC"])
    assert rows[table][1:4] == ["CONTROL", "TREATMENT", "DIFFERENCE"]
    told = shown(known, "experiments", "evaluate", NAME)
    metric, control, treatment, difference, low, high = rows[table + 1]
    assert metric == "confidence"
    assert float(control) == pytest.approx(told["arms"][0]["confidence"], rel=1e-3)
    assert float(treatment) == pytest.approx(told["arms"][1]["confidence"], rel=1e-3)
    assert 0 < float(low) < float(difference) < float(high)
    assert answer.out.splitlines()[-1].startswith("continue: ")


@pytest.mark.parametrize(
    ("language", "word"), [("en", "has"), ("ru", "результат"), ("de", "Ergebnisse")]
)
def test_the_recommendation_is_told_in_three_languages(
    known: Run, language: str, word: str
) -> None:
    said = shown(known, "experiments", "evaluate", NAME, "--language", language)

    assert word in said["recommendation"]
    text = known("experiments", "evaluate", NAME, "--language", language).out
    assert said["recommendation"] in text.replace("\n", " ")


def test_an_evaluation_as_json_says_what_python_says(known: Run) -> None:
    said = shown(known, "experiments", "evaluate", NAME)

    assert said["decision"] == "continue"
    assert [arm["arm"] for arm in said["arms"]] == ["control", "treatment"]
    assert sum(arm["results"] for arm in said["arms"]) == 300
    assert (said["batches"], said["clustering"]) == (3, "known")
    assert known("experiments", "evaluate", NAME, "-q").out == "continue\n"


def test_an_evaluation_of_nothing_says_so(trying: Run) -> None:
    answer = trying("experiments", "evaluate", NAME)

    assert answer.status == 0
    assert answer.out.splitlines()[1].split() == ["control", "v2", "0", "0", "-", "-", "-", "-"]
    assert shown(trying, "experiments", "evaluate", NAME)["decision"] == "continue"


def test_results_without_a_unit_and_late_ones_are_told(trying: Run) -> None:
    import contextvars

    def tell() -> None:
        with herdbook.connect() as book:
            for arm in ("control", "treatment", "treatment-9"):
                book.experiments.record_result(NAME, arm, 1.0, 0.5)

    contextvars.Context().run(tell)

    told = trying("experiments", "evaluate", NAME).out
    assert "Clustering is unknown: " in told
    assert "1 results came too late to count." in told


# --- history ---


def test_a_history_is_a_line_for_each_look(known: Run) -> None:
    answer = known("experiments", "history", NAME)

    assert (answer.status, answer.err) == (0, "")
    title, *lines = answer.out.splitlines()
    assert title.startswith("LOOKED")
    assert len(lines) == 3
    assert all("├" in line and "┤" in line and "●" in line for line in lines)
    assert [line.split()[1] for line in lines] == ["100", "200", "300"]
    assert len(known("experiments", "history", NAME, "--lines", "2").out.splitlines()) == 3


def test_a_history_as_json_holds_every_point(known: Run) -> None:
    points = shown(known, "experiments", "history", NAME)["items"]

    assert [point["results"] for point in points] == [100, 200, 300]
    ends = points[-1]["lines"][0]["confidence"]
    assert ends["low"] < ends["difference"] < ends["high"]
    assert known("experiments", "history", NAME, "-q").out == "continue\n" * 3


def test_a_history_of_nothing_says_so(trying: Run) -> None:
    assert trying("experiments", "history", NAME).out == "Nothing was recorded yet.\n"
    assert shown(trying, "experiments", "history", NAME)["items"] == []
    refused = trying("experiments", "history", NAME, "--plot", "gnn.png")
    assert (refused.status, refused.out) == (2, "")
    assert "nothing was recorded yet" in refused.err
    assert not Path("gnn.png").exists()


def test_a_history_is_drawn_as_png(known: Run) -> None:
    answer = known("experiments", "history", NAME, "--plot", "evidence.PNG")

    assert (answer.status, answer.out, answer.err) == (0, "evidence.PNG is drawn.\n", "")
    width, height, pixels = png(Path("evidence.PNG").read_bytes())
    assert (width, height) == (1350, 900)
    assert len(set(pixels)) > 50  # lines and letters, not a white sheet


def test_a_history_is_drawn_as_svg(known: Run) -> None:
    assert shown(known, "experiments", "history", NAME, "--plot", "a.svg") == {"plot": "a.svg"}

    root = ElementTree.parse("a.svg").getroot()  # noqa: S314 - our own file
    space = "{http://www.w3.org/2000/svg}"
    assert (root.tag, root.get("viewBox")) == (f"{space}svg", "0 0 648 432")
    assert len(root.findall(f".//{space}path")) > 20


def png(data: bytes) -> tuple[int, int, bytes]:
    """Read a PNG as its specification says: signature, chunks with their sums, one image."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, kinds, packed = 8, [], b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(
            kind + body
        )
        kinds.append(kind)
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    assert (kinds[0], kinds[-1]) == (b"IHDR", b"IEND")
    width, height, depth, colours = struct.unpack(">IIBB", data[16:26])
    pixels = zlib.decompress(packed)
    bytes_each = {2: 3, 6: 4}[colours] * depth // 8
    assert len(pixels) == height * (1 + width * bytes_each)
    return width, height, pixels


@pytest.mark.parametrize(
    ("file", "status", "told"),
    [
        ("evidence.pdf", 2, "neither .png nor .svg"),
        ("evidence", 2, "neither .png nor .svg"),
        ("nowhere/evidence.png", 8, "cannot write"),
        (".", 2, "is a directory"),
    ],
)
def test_what_cannot_be_drawn_is_refused(known: Run, file: str, status: int, told: str) -> None:
    answer = known("experiments", "history", NAME, "--plot", file)

    assert (answer.status, answer.out) == (status, "")
    assert told in answer.err
    assert not Path(file).is_file()


def test_without_matplotlib_the_extra_is_named(known: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # That is how Python itself marks a module that is not there.
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)

    answer = known("experiments", "history", NAME, "--plot", "evidence.svg")

    assert (answer.status, answer.out) == (2, "")
    assert "pip install 'herdbook[plots]'" in answer.err
    assert not Path("evidence.svg").exists()
    assert known("experiments", "history", NAME).status == 0


# --- watch ---


METRICS = ["METRIC", "confidence", "error", "inference_time_ms"]


def test_what_is_shown_holds_the_figures_of_the_last_look(known: Run) -> None:
    looked = known("experiments", "show", NAME).out.partition("Last look\n")[2].splitlines()

    assert "  control " in looked[0]
    assert looked[1] == "treatment (v3) against control"
    assert [line.split()[0] for line in looked[2:]] == METRICS
    assert shown(known, "experiments", "show", NAME)["plan"]["name"] == NAME


def test_nothing_to_show_yet_is_said(trying: Run) -> None:
    assert trying("experiments", "show", NAME).out.endswith("\nNothing was recorded yet.\n")


def test_what_has_ended_is_shown_once(known: Run) -> None:
    known("experiments", "finalize", NAME, "stop", "--yes", "--reason", "no more time")

    answer = known("experiments", "watch", NAME)

    assert answer.status == 0
    assert "  control " in answer.out.splitlines()[0]
    assert [line.split()[0] for line in answer.out.splitlines()[2:]] == METRICS
    assert answer.err == f"{NAME} ended: stopped. no more time\n"
    lines = known("experiments", "watch", NAME, "--json", "--language", "de")
    assert lines.err == ""
    assert [json.loads(line)["batches"] for line in lines.out.splitlines()] == [3]


def test_an_experiment_is_watched_until_it_ends(known: Run) -> None:
    watching = subprocess.Popen(
        [sys.executable, "-m", "herdbook", "experiments", "watch", NAME, "--every", "0.5"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert watching.stdout is not None
        first = watching.stdout.readline()
        serve(range(300, 700), wrong=True)
        size = 1 + len(METRICS)
        figures = [watching.stdout.readline() for _ in range(size)]
        second = watching.stdout.readline()
        figures += [watching.stdout.readline() for _ in range(size)]
        known("experiments", "finalize", NAME, "rollback", "--yes", "--reason", "too many errors")
        out, err = watching.communicate(timeout=20)
    finally:
        watching.kill()

    assert "continue: " in first
    assert [line.split()[0] for line in figures] == ["treatment", *METRICS] * 2
    assert "rollback: " in second
    assert (watching.returncode, out) == (0, "")
    assert err == f"{NAME} ended: rolled_back. too many errors\n"


# Whoever runs the tests in the background may have them ignore it, and their children with them.
WATCHING = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from herdbook.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_watching_can_be_interrupted(trying: Run) -> None:
    words = ["experiments", "watch", NAME, "--every", "0.5"]
    with subprocess.Popen(
        [sys.executable, "-c", WATCHING, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        try:
            assert watching.stdout is not None
            watching.stdout.readline()
            watching.send_signal(signal.SIGINT)
            _, err = watching.communicate(timeout=20)
        finally:
            watching.kill()

    assert watching.returncode == 130
    assert "Traceback" not in err
    assert trying("experiments", "show", NAME).status == 0


# --- replay ---


def test_evidence_comes_out_the_same_again(known: Run) -> None:
    answer = known("experiments", "replay", NAME)

    same = f"{NAME}: its 3 batches come to the same evidence, to the last bit.\n"
    assert (answer.status, answer.out) == (0, same)
    assert known("experiments", "replay", NAME, "-q").out == f"{NAME}\n"
    again = shown(known, "experiments", "replay", NAME)
    assert again["batches"] == 3
    known("experiments", "finalize", NAME, "stop", "--yes")
    assert known("experiments", "replay", NAME).out == same


def test_nothing_comes_out_the_same_too(trying: Run) -> None:
    assert trying("experiments", "replay", NAME).status == 0


def test_evidence_that_was_changed_is_found_out(known: Run) -> None:
    with herdbook.connect() as book:
        file = book.address.removeprefix("sqlite:///")
    changed = sqlite3.connect(file)
    with changed:
        rows = changed.execute("SELECT rowid, doc FROM batches").fetchall()
        row, text = next((row, text) for row, text in rows if '"results":' in text)
        number = text.split('"results":')[1].split(",")[0]
        changed.execute(
            "UPDATE batches SET doc = ? WHERE rowid = ?",
            (text.replace(f'"results":{number}', f'"results":{int(number) + 1}', 1), row),
        )
    changed.close()

    answer = known("experiments", "replay", NAME)

    assert (answer.status, answer.out) == (7, "")
    assert "changed by other means" in answer.err


# --- misuse ---

WRONG: list[tuple[str, int, str]] = [
    ("evaluate nobody", 3, "nobody"),
    ("evaluate", 2, "NAME"),
    (f"evaluate {NAME} --language fr", 2, "'en', 'ru', 'de'"),
    ("history nobody", 3, "nobody"),
    ("history nobody --plot a.png", 3, "nobody"),
    (f"history {NAME} --lines 1", 2, "--lines"),
    (f"history {NAME} --lines 1001", 2, "--lines"),
    ("watch nobody", 3, "nobody"),
    (f"watch {NAME} --every 0.1", 2, "--every"),
    (f"watch {NAME} --every nan", 2, "--every"),
    ("replay nobody", 3, "nobody"),
    ("replay a/b", 3, "a/b"),
    ("simulate majora", 2, "TREATMENT"),
    ("simulate majora v3 --runs 0", 2, "--runs"),
    ("simulate majora v3 --units 0", 2, "--units"),
    ("simulate majora v3 --correlation 1", 2, "--correlation"),
    ("simulate majora v3 --correlation 0.3", 2, "--units"),
    ("simulate majora v3 --error-rate 1.5", 2, "between 0 and 1"),
    ("simulate majora v3 --error-rate nan", 2, "between 0 and 1"),
    ("simulate majora v3 --error-increase 0.99", 2, "between 0 and 1"),
    ("simulate majora v3 --confidence-gain 0.5", 2, "no confidence between 0 and 1"),
    ("simulate majora v3 --traffic 100", 2, "treatment_traffic_pct is 100"),
    ("simulate majora v3 v3", 2, "different versions"),
    ("simulate majora v3 --alpha 0", 2, "alpha is 0"),
    ("simulate ../majora v3", 2, "not a model name"),
    ("simulate majora v3 --ramp 1,x", 2, "--ramp"),
]


@pytest.mark.parametrize(("line", "status", "told"), WRONG)
def test_each_misuse_is_told_with_what_mends_it(
    trying: Run, line: str, status: int, told: str
) -> None:
    answer = trying("experiments", *line.split())

    assert (answer.status, answer.out) == (status, ""), answer
    assert told in answer.err
    assert "Traceback" not in answer.err
