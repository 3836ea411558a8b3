"""Answers that say what is so: names that are near, changes that were none, times asked for."""

import json
import os
from pathlib import Path

import pytest

from herdbook.cli.output import Look, Table
from tests.cli.conftest import Run


def test_a_quiet_webhook_shows_its_secret(run: Run) -> None:
    answer = run("-q", "webhooks", "create", "https://example.org/hook")

    assert answer.status == 0
    assert len(answer.out.strip()) > 20


@pytest.mark.parametrize("line", ["list", "models list"])
def test_a_filter_that_finds_nothing_is_no_empty_register(example: Run, line: str) -> None:
    assert "No model matches." in example(*line.split(), "--type", "lmm").out


@pytest.mark.parametrize("line", ["list", "models list"])
def test_an_empty_register_says_where_it_is(run: Run, home: Path, line: str) -> None:
    assert str(home / "herdbook.db") in run(*line.split()).out


def test_a_new_model_with_nearly_a_known_name_is_asked_about(example: Run) -> None:
    slip = example("add", "majorra")
    again = example("add", "majorra")
    other = example("add", "gnn")

    assert "new model majorra" in slip.out
    assert "did you mean majora?" in slip.err
    assert "new model" not in again.out
    assert again.err == ""
    assert other.err == ""


@pytest.mark.parametrize("line", ["info majroa", "info majroa:v1", "versions majroa"])
def test_an_unknown_model_brings_the_nearest(example: Run, line: str) -> None:
    answer = example(*line.split())

    assert answer.status == 3
    assert "did you mean majora?" in answer.err


@pytest.mark.parametrize(
    "line",
    [
        "lineage majora:v2 --ancestors --format dot",
        "lineage majora:v2 --data --format openlineage",
        "lineage majora:v2 --ancestors --descendants",
        "versions note majora:v1",
        "versions revise majora:v1",
        "models update majora",
        "compare majora v1",
    ],
)
def test_what_asks_for_nothing_or_too_much_is_wrong_use(example: Run, line: str) -> None:
    before = example("audit", "list", "--json").out

    answer = example(*line.split())

    assert answer.status == 2, answer
    assert example("audit", "list", "--json").out == before


def test_a_change_to_the_same_is_none(example: Run) -> None:
    line = ("versions", "note", "majora:v1", "--notes", "good")

    assert "is changed" in example(*line).out
    assert "nothing changed" in example(*line).out
    assert "is changed" in example("models", "update", "majora", "--owner", "search").out
    assert "nothing changed" in example("models", "update", "majora", "--owner", "search").out


def test_events_of_a_lineage_carry_the_time_of_what_happened(example: Run) -> None:
    line = ("lineage", "majora", "--format", "openlineage")
    first = example(*line).out

    made = json.loads(example("info", "majora:v2", "--json").out)["created_at"]

    assert example(*line).out == first
    assert json.loads(first.splitlines()[-1])["eventTime"] == made


def test_the_instant_asked_for_is_repeated_in_utc(example: Run) -> None:
    answer = example("deployments", "at", "2999-01-01T02:00:00+02:00")

    assert "2999-01-01T00:00:00Z" in answer.err
    assert "still to come" in answer.err
    assert "so far" in answer.out


def test_another_alias_is_not_production(example: Run) -> None:
    answer = example("deployments", "at", "--alias", "challenger")

    assert "production" not in answer.out + answer.err
    assert "challenger" in answer.out


def test_the_settings_say_what_they_come_to(run: Run, home: Path) -> None:
    rows = {r["name"]: r for r in json.loads(run("config", "list", "--json").out)["items"]}
    server = run("config", "list", "--url", "http://127.0.0.1:1").out

    assert rows["register"]["value"] == f"sqlite:///{home / 'herdbook.db'}"
    assert rows["acts_as"] == {
        "name": "acts_as",
        "value": "ci",
        "origin": "HERDBOOK_ACTOR",
    }
    assert "through the server at http://127.0.0.1:1" in server
    assert not (home / "herdbook.db").exists()


def test_a_narrow_table_leaves_columns_out_and_keeps_the_name() -> None:
    titles = ("name", "type", "owner", ">versions", "champion", "changed", "description")
    row = ["paraphrase-multilingual", "embedding", "search-team", "12", "v12", "2 days ago", "x"]

    shown = Table(titles, [row], empty="").text(Look(terminal=True, width=40)).splitlines()

    assert all(len(text) <= 40 for text in shown)
    assert "paraphrase-multilingual" in shown[1]
    assert "…" not in "".join(shown[:2]).split()
    assert shown[-1].startswith("not shown: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anything")
def test_a_database_that_cannot_be_written_is_bad(example: Run, home: Path) -> None:
    (home / "herdbook.db").chmod(0o400)

    answer = example("doctor")

    assert answer.status == 1
    assert "cannot be written" in answer.out
