"""The story everybody begins with, in processes of their own."""

import json
from pathlib import Path

import click
import pytest

from herdbook.cli import parameters as take
from herdbook.cli.main import app
from herdbook.cli.session import Session
from tests.cli.conftest import Run, in_own_process


def test_add_deploy_and_roll_back() -> None:
    for line in (
        "add majora v1 --base-model Qwen2.5-Coder-7B --samples 223 --epochs 3 --batch-size 4 "
        "--learning-rate 0.0002 --framework unsloth --lora-path out/lora --gguf-path out/a.gguf "
        "--accuracy 0.85 --f1-score 0.82",
        "add majora v2 --accuracy 0.87 --parent majora:v1",
        "score majora v1 --accuracy 0.86 --f1-score 0.83 --speed 120",
        "deploy majora v1",
        "deploy majora v2 --reason better",
        "rollback majora --reason regression",
    ):
        answer = in_own_process(*line.split())
        assert (answer.status, answer.err) == (0, ""), answer

    told = json.loads(in_own_process("info", "majora", "--json").out)
    assert told["champion"] == "v1"
    assert told["champion_version"]["metrics"] == {
        "accuracy": 0.86,
        "f1": 0.83,
        "tokens_per_second": 120,
    }
    assert "└── v1" in in_own_process("tree", "majora").out


def test_all_that_can_be_said_of_a_version_is_kept(run: Run, tmp_path: Path) -> None:
    (tmp_path / "more.json").write_text('{"seed": 7}')

    line = (
        "add majora v1 --duration-hours 3 --cost-usd 0.8 --training-data oracle,toolbench "
        "--training-data extra --dependency torch>=2.4 --dependency numpy "
        "--file tokenizer=out/t.json --file tokenizer=out/u.json --config-path out/c.json "
        "--checkpoint-path out/ckpt --metric ndcg@10=0.41 --metrics-source suite "
        "--tag team=search --tag stable --type llm --owner search --git-commit abc123 "
        "--metadata @more.json --status draft --json"
    )

    answer = run(*line.split(), "--hardware", "M2 Max")

    told = json.loads(answer.out)
    facts = told["facts"]
    assert facts["datasets"] == ["oracle", "toolbench", "extra"]
    assert facts["dependencies"] == ["torch>=2.4", "numpy"]
    assert {(f["role"], f["location"]) for f in facts["files"]} == {
        ("tokenizer", "out/t.json"),
        ("tokenizer", "out/u.json"),
        ("config", "out/c.json"),
        ("checkpoint", "out/ckpt"),
    }
    assert facts["metadata"] == {"seed": 7}
    assert facts["git_commit"] == "abc123"
    assert facts["training"]["hardware"] == "M2 Max"
    assert told["tags"] == {"stable": "", "team": "search"}
    assert told["status"] == "draft"


def test_the_number_goes_on_in_the_models_own_style(run: Run) -> None:
    for _ in range(2):
        run("add", "majora")

    assert run("add", "majora", "--bump", "minor", "-q").out == "majora:v2.1\n"
    assert run("add", "oracle:1.0.0", "-q").out == "oracle:1.0.0\n"
    assert run("add", "oracle", "-q").out == "oracle:1.0.1\n"


def test_a_version_in_draft_is_completed(run: Run) -> None:
    run("add", "majora", "v1", "--status", "draft")

    run("versions", "revise", "majora:v1", "--samples", "223", "--parent-kind", "merge")
    run("versions", "status", "majora:v1", "development", "--reason", "trained")

    told = json.loads(run("versions", "show", "majora:v1", "--json").out)
    assert told["facts"]["training"]["samples"] == 223
    assert told["status"] == "development"


def test_blue_and_green(example: Run) -> None:
    example("deploy", "majora", "v1", "--alias", "blue")
    example("deploy", "majora", "v2", "--alias", "green")

    assert "is now v1" in example("deployments", "switch", "majora").out
    assert "is now v2" in example("deployments", "switch", "majora").out
    assert example("deployments", "alias", "majora", "blue", "-q").out == "majora:v1\n"


def test_what_was_in_production_and_who_put_it_there(example: Run) -> None:
    before = json.loads(example("deployments", "history", "majora", "--json").out)["items"][-1]

    told = json.loads(example("deployments", "at", before["at"], "--json").out)["items"]

    assert [(h["since"]["to_number"], h["since"]["by"]) for h in told] == [("v1", "ci")]


@pytest.mark.parametrize(
    "line",
    [
        "add majora --accuracy 0.9",
        "deploy majora v1",
        "rollback majora",
        "score majora v1 --accuracy 0.1",
        "versions status majora:v1 archived",
        "versions delete majora:v1",
        "deployments remove majora champion",
    ],
)
def test_a_dry_run_shows_what_would_happen_and_changes_nothing(example: Run, line: str) -> None:
    before = example("audit", "list", "--json").out

    answer = example(*line.split(), "--dry-run")

    assert answer.status == 0
    assert "majora" in answer.out
    assert "Nothing was changed" in answer.err
    assert example("audit", "list", "--json").out == before
    assert example("metrics", "history", "majora:v1", "-q").out.count("accuracy") == 1


def test_a_dry_run_over_http_is_refused(run: Run) -> None:
    answer = run("deploy", "majora", "v1", "--dry-run", "--url", "http://127.0.0.1:1")

    assert answer.status == 2
    assert "is a server" in answer.err


def test_deleting_and_restoring(example: Run) -> None:
    assert example("versions", "delete", "majora:v1", "--yes", "--reason", "old").status == 0
    assert example("info", "majora:v1").status == 3
    assert example("versions", "restore", "majora:v1").status == 0
    assert example("models", "create", "gnn", "--type", "embedding").status == 0
    assert example("models", "update", "gnn", "--tag", "a=1", "--owner", "search").status == 0
    assert example("models", "delete", "gnn", "--yes").status == 0
    assert example("models", "restore", "gnn").status == 0
    assert json.loads(example("models", "show", "gnn", "--json").out)["tags"] == {"a": "1"}


def test_tokens_are_shown_once(run: Run) -> None:
    secret = run("tokens", "create", "ci", "--role", "contributor").out.strip()
    listed = json.loads(run("tokens", "list", "--json").out)["items"]

    assert secret.startswith("hb_")
    assert secret not in run("tokens", "list").out
    assert run("tokens", "revoke", listed[0]["id"]).status == 0
    assert "revoked" in run("tokens", "list").out


def test_webhooks(run: Run) -> None:
    made = run("webhooks", "create", "https://example.org/hook", "--action", "alias.moved")

    assert made.out.startswith("hbwh_")
    assert "https://example.org/hook" in run("webhooks", "list").out
    assert "Nothing was sent" in run("webhooks", "deliveries", "1").out
    assert run("webhooks", "remove", "1", "--yes").status == 0


def test_observations_are_folded_in(example: Run) -> None:
    observe = ("metrics", "observe", "majora@champion", "--inference-time-ms")

    example(*observe, "10", "--confidence", "0.9")
    example(*observe, "20", "--error")

    told = json.loads(example("metrics", "show", "majora", "--json").out)
    assert (told["count"], told["inference_time_ms"], told["error_rate"]) == (2, 15, 0.5)


def test_names_are_completed(example: Run) -> None:
    example("add", "oracle")

    answer = in_own_process(
        _HERDBOOK_COMPLETE="bash_complete", COMP_WORDS="herdbook info ma", COMP_CWORD="2"
    )

    assert answer.out == "plain,majora\n"


@pytest.mark.parametrize("url", ["sqlite:////nowhere/a.db", "http://127.0.0.1:1", "nonsense"])
def test_what_cannot_be_asked_at_once_completes_nothing(run: Run, url: str) -> None:
    context = click.Context(app, obj=Session(url=url))

    assert take.MODEL.shell_complete(context, app.params[0], "ma") == []
    assert run("--version").status == 0


def test_names_are_completed_by_their_beginning(example: Run) -> None:
    example("add", "oracle")

    found = take.MODEL.shell_complete(click.Context(app), app.params[0], "ora")

    assert [item.value for item in found] == ["oracle"]


def test_a_first_look_twice_adds_nothing(example: Run) -> None:
    assert "nothing was added" in example("init", "--example").out
    assert example("versions", "majora", "-q").out.split() == ["majora:v2", "majora:v1"]


def test_the_lineage_as_dot_and_as_openlineage(example: Run) -> None:
    dot = example("lineage", "majora", "--format", "dot").out
    events = example("lineage", "majora", "--format", "openlineage").out.splitlines()

    assert dot.startswith("digraph")
    assert all(json.loads(line)["eventType"] for line in events)
    assert json.loads(example("lineage", "majora", "--format", "json").out)["edges"]


def test_settings_and_their_origin(run: Run, tmp_path: Path) -> None:
    (tmp_path / "herdbook.toml").write_text("timeout_seconds = 5\n")

    rows = {
        row["name"]: row
        for row in json.loads(run("config", "list", "--json", "--url", "sqlite:///a.db").out)[
            "items"
        ]
    }

    assert rows["timeout_seconds"]["origin"].endswith("herdbook.toml")
    assert rows["url"]["origin"] == "--url"
    assert rows["actor"]["origin"] == "HERDBOOK_ACTOR"
    assert rows["log_format"]["origin"] == "default"
