"""Slips: a word misspelt, a value out of range, a question nobody can answer."""

import json

import pytest

from tests.cli.conftest import Run, on_a_terminal


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["deplooy", "majora"], "'deploy'"),
        (["versions", "sttus", "majora:v1", "staging"], "'status'"),
        (["audit", "verifyy"], "'verify'"),
        (["add", "majora", "--acuracy", "0.8"], "--accuracy"),
        (["zzz"], "there are init, list"),
    ],
)
def test_a_misspelt_word_brings_the_nearest(run: Run, words: list[str], hint: str) -> None:
    answer = run(*words)

    assert answer.status == 2
    assert answer.out == ""
    assert hint in answer.err
    assert "--help`" in answer.err


def test_an_error_is_one_line_and_names_the_field(example: Run) -> None:
    answer = example("add", "majora", "v3", "--learning-rate", "-1")

    assert answer.status == 2
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert "(field: training.learning_rate)" in answer.err


def test_an_error_is_json_where_json_was_asked_for(example: Run) -> None:
    answer = example("deploy", "majora", "v9", "--json")

    told = json.loads(answer.err)
    assert answer.out == ""
    assert (told["code"], told["field"], told["exit_status"]) == ("not_found", "ref", 3)


def test_a_slip_is_json_too_wherever_json_stands(run: Run) -> None:
    answer = run("listt", "--json")

    assert json.loads(answer.err)["code"] == "invalid"


def test_deploying_a_model_without_a_version_asks_which(example: Run) -> None:
    answer = example("deploy", "majora")

    assert answer.status == 2
    assert "which version of majora?" in answer.err


@pytest.mark.parametrize(
    "words",
    [
        ["add", "majora", "--metric", "ndcg"],
        ["add", "majora", "--metric", "ndcg=high"],
        ["add", "majora", "--accuracy", "0.8", "--metric", "accuracy=0.9"],
        ["add", "majora", "--metadata", "[1]"],
        ["add", "majora", "--metadata", "{"],
        ["add", "majora", "--metadata", "@absent.json"],
        ["add", "majora", "--file", "tokenizer"],
        ["add", "majora:v3", "v4"],
        ["score", "majora:v1", "v2", "--accuracy", "1"],
        ["audit", "verify", "--against", "absent.json"],
        ["list", "--limit", "0"],
        ["list", "--page", "forged"],
        ["search", "metrics.accuracy >"],
    ],
)
def test_a_value_that_cannot_be_is_wrong_use(example: Run, words: list[str]) -> None:
    answer = example(*words)

    assert answer.status == 2
    assert answer.err.startswith("error: ")
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    "words",
    [
        ["versions", "delete", "majora:v1"],
        ["models", "delete", "majora"],
        ["deployments", "remove", "majora", "champion"],
    ],
)
def test_what_destroys_needs_a_yes_when_nobody_can_be_asked(example: Run, words: list[str]) -> None:
    answer = example(*words)

    assert answer.status == 2
    assert "--yes" in answer.err
    assert example("versions", "show", "majora:v1").status == 0


@pytest.mark.parametrize(("typed", "status", "left"), [("n\n", 1, 0), ("y\n", 0, 3)])
def test_on_a_terminal_it_is_asked(example: Run, typed: str, status: int, left: int) -> None:
    answer = on_a_terminal("versions", "delete", "majora:v1", typed=typed)

    assert "Delete majora:v1? [y/N]" in answer.out
    assert answer.status == status
    assert example("versions", "show", "majora:v1").status == left
