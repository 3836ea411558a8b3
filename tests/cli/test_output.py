"""Output: what people read, what programs read, and what a terminal must never be sent."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from herdbook.cli import output
from herdbook.cli.output import Look, Table
from tests.cli.conftest import Run, in_own_process, on_a_terminal, scrubbed

LINES = [
    "list",
    "info majora",
    "info majora:v2",
    "versions majora",
    "compare majora v1 v2",
    "compare majora v1 v2 --all",
    "best accuracy --model majora",
    "cheapest",
    "summary",
    "summary majora",
    "tree majora",
    "lineage majora:v2",
    "lineage majora:v2 --ancestors",
    "lineage majora:v2 --descendants",
    "lineage majora:v2 --data",
    "models list",
    "deployments history majora",
    "deployments at",
    "deployments alias majora",
    "metrics history majora:v1",
    "metrics show majora:v1",
    "datasets list",
    "audit list",
    "audit verify",
    "tokens list",
    "webhooks list",
    "search status='production'",
]
ESCAPES = "\x1b[31mred\x1b[0m \x9b2J \u202etxt \x07 <b>[bold]markup[/bold]"


@pytest.mark.parametrize("line", LINES)
def test_what_people_read(example: Run, line: str, snapshot: SnapshotAssertion) -> None:
    answer = example(*line.split())

    assert answer.status == 0, answer.err
    assert scrubbed(answer.out) == snapshot


@pytest.mark.parametrize("line", LINES)
def test_every_answer_is_one_line_of_json_too(example: Run, line: str) -> None:
    answer = example(*line.split(), "--json")

    assert answer.out.count("\n") == 1
    assert isinstance(json.loads(answer.out), dict)


@pytest.mark.parametrize("line", LINES)
def test_quiet_writes_names_alone(example: Run, line: str) -> None:
    answer = example("--quiet", *line.split())

    assert answer.err == ""
    assert all(" " not in name for name in answer.out.splitlines())


def test_global_options_stand_before_or_after(example: Run) -> None:
    assert example("--json", "list").out == example("list", "--json").out
    assert (
        example("versions", "--json", "majora").out == example("--json", "versions", "majora").out
    )


def test_information_about_a_model_names_its_champion(example: Run) -> None:
    told = json.loads(example("info", "majora", "--json").out)

    assert told["champion"] == "v2"
    assert told["champion_version"]["metrics"]["accuracy"] == 0.87


def test_a_page_says_on_standard_error_how_to_go_on(example: Run) -> None:
    first = example("versions", "majora", "--limit", "1", "--quiet")
    token = json.loads(example("versions", "majora", "--limit", "1", "--json").out)["next"]
    second = example("versions", "majora", "--limit", "1", "--page", token, "--quiet")

    assert f"--page {token}" in example("versions", "majora", "--limit", "1").err
    assert (first.out, second.out) == ("majora:v2\n", "majora:v1\n")


def test_a_register_without_models_says_how_to_begin(run: Run) -> None:
    assert "herdbook add majora v1" in run("list").out


def test_what_a_terminal_would_obey_is_shown(example: Run) -> None:
    example("versions", "note", "majora:v2", "--description", ESCAPES, "--notes", f"one\n{ESCAPES}")

    for line in ("info majora:v2", "versions majora", "tree majora", "search status='production'"):
        for answer in (example(*line.split()), on_a_terminal(*line.split(), NO_COLOR="1")):
            shown = answer.out.replace("\x1b[1m", "").replace("\x1b[0m", "")
            assert not set("\x1b\x9b\u202e\x07") & set(shown), (line, shown)


def test_json_keeps_what_was_written_and_is_harmless_on_a_terminal(example: Run) -> None:
    example("versions", "note", "majora:v2", "--description", ESCAPES)

    piped = json.loads(example("info", "majora:v2", "--json").out)
    shown = on_a_terminal("info", "majora:v2", "--json").out

    assert piped["description"] == ESCAPES
    assert json.loads(shown)["description"] == ESCAPES
    assert not set("\x1b\x9b\u202e\x07") & set(shown)


def test_the_text_of_an_error_is_harmless_too(example: Run) -> None:
    answer = example("info", "majora:\x1b[31mred")

    assert answer.status == 2
    assert "\x1b" not in answer.err


@pytest.mark.parametrize(
    ("environ", "words", "colored"),
    [
        ({}, [], True),
        ({"NO_COLOR": "1"}, [], False),
        ({"NO_COLOR": ""}, [], True),
        ({"TERM": "dumb"}, [], False),
        ({}, ["--no-color"], False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, [], False),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, [], True),
    ],
)
def test_colour_on_a_terminal(
    example: Run, environ: dict[str, str], words: list[str], *, colored: bool
) -> None:
    answer = on_a_terminal("list", *words, **environ)

    assert "majora" in answer.out
    assert example("list").status == 0
    assert ("\x1b[" in answer.out) is colored


@pytest.mark.parametrize(
    ("environ", "colored"),
    [({}, False), ({"FORCE_COLOR": "1"}, True), ({"FORCE_COLOR": "0"}, False)],
)
def test_colour_through_a_pipe(example: Run, environ: dict[str, str], *, colored: bool) -> None:
    answer = in_own_process("list", **environ)

    assert example("list").status == 0
    assert ("\x1b[" in answer.out) is colored


def test_a_table_fits_the_terminal_and_is_never_cut_in_a_pipe(example: Run) -> None:
    long = "a description that goes on for longer than any terminal is wide, " * 3
    example("versions", "note", "majora:v2", "--description", long)

    shown = on_a_terminal("versions", "majora", COLUMNS="70", NO_COLOR="1").out
    piped = example("versions", "majora").out

    plain = shown.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert max(len(row) for row in plain.splitlines()) <= 70
    assert "production" in plain
    assert long.strip() in piped


def test_times_are_relative_for_people_and_exact_for_programs(example: Run) -> None:
    assert "just now" in on_a_terminal("versions", "majora").out
    piped = example("versions", "majora").out
    assert scrubbed(piped) != piped


def test_a_terminal_without_the_right_letters_still_gets_an_answer(example: Run) -> None:
    assert example("list").status == 0

    answer = in_own_process("list", PYTHONIOENCODING="latin-1")

    assert answer.status == 0
    assert "\\u25cf v2" in answer.out


def test_an_empty_table_says_so() -> None:
    assert Table(("a",), [], empty="Nothing.").text(Look()) == "Nothing."


def test_wide_letters_count_for_two() -> None:
    assert output.fitted_sizes([["模型", "a"]], 100) == [4, 1]


def test_the_answer_can_be_kept_in_a_file(example: Run, tmp_path: Path) -> None:
    kept = tmp_path / "checkpoint.json"

    assert example("audit", "checkpoint", "-o", str(kept)).status == 0
    assert example("audit", "verify", "--against", str(kept)).status == 0
    kept.write_text('{"seq": 99, "hash": "0"}')
    assert example("audit", "verify", "--against", str(kept)).status == 1


def test_a_checkpoint_goes_to_standard_output_too(example: Run, tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text(example("audit", "checkpoint").out)

    assert example("audit", "verify", "--against", str(kept), "-q").out == "5\n"


def test_a_fitted_table_gives_way_from_the_right() -> None:
    table = Table(("name", ">versions", "description"), [["majora", "2", "x" * 90]])

    shown = table.text(Look(terminal=True, width=40)).splitlines()

    assert all(len(row) <= 40 for row in shown)
    assert shown[1].startswith("majora         2  xxx")
    assert shown[1].endswith("…")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (59, "just now"),
        (60, "1 minute ago"),
        (7_200, "2 hours ago"),
        (86_400 * 3, "3 days ago"),
        (86_400 * 800, "2 years ago"),
        (-30, "just now"),
        (-3_600, "in the future"),
    ],
)
def test_how_long_ago(seconds: int, said: str) -> None:
    now = datetime(2026, 1, 14, tzinfo=UTC)

    assert output.ago(now - timedelta(seconds=seconds), now=now) == said


def test_json_for_a_terminal_escapes_what_it_would_obey() -> None:
    text = json.dumps({"a": "\x9b\u202e\U000e0001 ●"}, ensure_ascii=False)

    shown = output.escaped_json(text)

    assert json.loads(shown) == json.loads(text)
    assert "\\u009b\\u202e\\udb40\\udc01 ●" in shown
