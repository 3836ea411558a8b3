"""Blue/green on a machine, and the rollback procedure, as they are typed."""

import json
import os
import stat
from pathlib import Path

import pytest

import herdbook as hb
from herdbook.settings import Settings
from tests.cli.conftest import Answer, Run


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two folders, model-v1 and model-v2, in the folder commands run in."""
    for version in ("v1", "v2"):
        folder = tmp_path / f"model-{version}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"version": version}))
        (folder / "model.safetensors").write_bytes(version.encode() * 1_000)
    return tmp_path


def served(place: Path) -> str:
    found: dict[str, str] = json.loads((place / "current" / "config.json").read_text())
    return found["version"]


def two_slots(run: Run, folder: Path) -> Path:
    """Stage v1 into blue, which is current, and v2 into green."""
    place = folder / "srv"
    for words in (
        ("stage", "local:model-v1", "--slot", "blue", "--switch"),
        ("stage", "local:model-v2", "--slot", "green"),
    ):
        assert run("artifacts", *words, "--to", str(place)).status == 0
    return place


def script(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def line(answer: Answer) -> str:
    return " ".join((answer.out + answer.err).split())


# --- stage ---


def test_a_folder_is_staged_without_any_register(run: Run, models: Path) -> None:
    answer = run("artifacts", "stage", "local:model-v1", "--slot", "green", "--to", "srv")

    assert answer.status == 0
    assert "green holds local:model-v1 (2 files" in answer.out
    assert (models / "srv" / "green" / "config.json").is_file()
    assert "no current slot yet" in answer.out
    assert not (models / "herdbook-home").exists()


def test_the_health_command_decides_over_the_switch(run: Run, models: Path) -> None:
    place = two_slots(run, models)
    check = script(
        models, "check", 'echo "looking at $HERDBOOK_SLOT"; grep -q v1 "$HERDBOOK_PATH/config.json"'
    )
    words = ("artifacts", "switch", "--slot", "green", "--to", str(place), "--health", check)

    answer = run(*words)

    assert answer.status == 1
    assert "looking at green" in answer.err
    assert (
        "health failed with status 1: green holds local:model-v2 and was not switched" in answer.err
    )
    assert served(place) == "v1"


def test_stage_switch_restart_and_verify_in_one_command(run: Run, models: Path) -> None:
    place = two_slots(run, models)
    log = models / "log"
    restart = script(models, "restart", f'echo "$HERDBOOK_SLOT $HERDBOOK_VERSION" >> {log}')

    answer = run(
        "artifacts", "stage", "local:model-v2", "--slot", "green", "--to", str(place), "--switch",
        "--health", f"grep -q v2 {place}/green/config.json",
        "--restart", restart, "--verify", f"grep -q v2 {place}/current/config.json", "--json",
    )  # fmt: skip

    body = json.loads(answer.out)
    assert answer.status == 0
    assert (body["current"], body["version"]) == ("green", "local:model-v2")
    assert body["staged"]["before"] == "local:model-v2"
    assert [(ran["name"], ran["status"]) for ran in body["commands"]] == [
        ("health", 0),
        ("restart", 0),
        ("verify", 0),
    ]
    assert log.read_text() == "green local:model-v2\n"


@pytest.mark.parametrize("failing", ["restart", "verify"])
def test_when_it_fails_after_the_switch_the_link_goes_back(
    run: Run, models: Path, failing: str
) -> None:
    place = two_slots(run, models)
    log = models / "log"
    restart = script(models, "restart", f'echo "$HERDBOOK_SLOT" >> {log}')
    fails = script(models, "fails", 'test "$HERDBOOK_SLOT" = blue')
    hooks = {"restart": restart, "verify": "true"} | {failing: fails}

    answer = run(
        "artifacts", "switch", "--slot", "green", "--to", str(place),
        "--restart", hooks["restart"], "--verify", hooks["verify"],
    )  # fmt: skip

    assert answer.status == 1
    assert f"{failing} failed with status 1: {place}/current is blue (local:model-v1) again" in (
        answer.err
    )
    assert "then restart passed, then verify passed; green holds local:model-v2" in answer.err
    assert served(place) == "v1"
    if failing == "verify":
        assert log.read_text().split() == ["green", "blue"]


@pytest.mark.usefixtures("models")
def test_a_first_switch_that_fails_says_that_there_is_no_way_back(run: Run) -> None:
    answer = run(
        "artifacts", "stage", "local:model-v1", "--slot", "blue", "--to", "srv", "--switch",
        "--verify", "false",
    )  # fmt: skip

    assert answer.status == 1
    assert "current is blue (local:model-v1) and could not be moved back" in answer.err


def test_what_fails_in_json_has_its_facts(run: Run, models: Path) -> None:
    place = two_slots(run, models)

    answer = run(
        "artifacts", "switch", "--slot", "green", "--to", str(place), "--verify", "false", "--json",
        "--quiet",
    )  # fmt: skip

    body = json.loads(answer.err)
    assert (body["code"], body["details"]["current"]) == ("refused", "blue")
    assert [ran["status"] for ran in body["details"]["commands"]] == [1, 1]


def test_a_command_that_takes_too_long_is_ended_with_all_it_started(run: Run, models: Path) -> None:
    place = two_slots(run, models)
    slow = script(models, "slow", f"sleep 30 & echo $! > {models}/pid; wait")

    answer = run(
        "artifacts", "switch", "--slot", "green", "--to", str(place), "--health", slow,
        "--timeout", "0.5",
    )  # fmt: skip

    assert answer.status == 1
    assert "health took too long and was ended after" in answer.err
    assert not Path(f"/proc/{(models / 'pid').read_text().strip()}/cmdline").exists() or not (
        Path(f"/proc/{(models / 'pid').read_text().strip()}/cmdline").read_bytes()
    )


def test_verify_is_tried_again_within_its_time(run: Run, models: Path) -> None:
    place = two_slots(run, models)
    late = script(models, "late", f"test -e {models}/ready || {{ touch {models}/ready; exit 7; }}")

    answer = run(
        "artifacts", "switch", "--slot", "green", "--to", str(place), "--verify", late,
        "--within", "20",
    )  # fmt: skip

    assert answer.status == 0
    assert served(place) == "v2"


def test_a_command_that_leaves_a_service_running_is_not_waited_for(run: Run, models: Path) -> None:
    place = two_slots(run, models)
    start = script(models, "start", f"sleep 5 & echo $! > {models}/pid")

    answer = run("artifacts", "switch", "--slot", "green", "--to", str(place), "--restart", start)

    os.kill(int((models / "pid").read_text()), 9)
    assert answer.status == 0


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("curl -f localhost && echo ok", "only a shell reads"),
        ("echo $HOME", "only a shell reads"),
        ('echo "`id`"', "only a shell reads"),
        ("cat < /etc/passwd", "only a shell reads"),
        ("no-such-program-here --now", "there is no program 'no-such-program-here'"),
        ("echo 'unclosed", "cannot be read"),
        ("   ", "there is no program ''"),
    ],
)
def test_a_command_that_could_not_run_is_refused_before_anything_is_done(
    run: Run, models: Path, command: str, told: str
) -> None:
    answer = run(
        "artifacts", "stage", "local:model-v1", "--slot", "green", "--to", "srv",
        "--health", command,
    )  # fmt: skip

    assert answer.status == 2
    assert told in answer.err
    assert not (models / "srv").exists()


@pytest.mark.usefixtures("models")
def test_what_needs_a_shell_is_given_one(run: Run) -> None:
    answer = run(
        "artifacts", "stage", "local:model-v1", "--slot", "green", "--to", "srv",
        "--health", "sh -c 'grep v1 <$HERDBOOK_PATH/config.json && echo \"$HERDBOOK_VERSION\"'",
    )  # fmt: skip

    assert answer.status == 0
    assert "  local:model-v1" in answer.err.splitlines()


def test_a_program_that_cannot_be_started_fails_and_shows_why(run: Run, models: Path) -> None:
    place = two_slots(run, models)
    (models / "binary").write_bytes(b"\x7fELFnothing")
    (models / "binary").chmod(0o755)

    answer = run(
        "artifacts", "switch", "--slot", "green", "--to", str(place),
        "--restart", str(models / "binary"),
    )  # fmt: skip

    assert answer.status == 1
    assert "restart failed with status 126" in answer.err
    assert served(place) == "v1"


def test_what_a_command_is_told_is_no_setting_to_a_herdbook_in_it() -> None:
    facts = {f"HERDBOOK_{name}": "x" for name in ("SLOT", "PATH", "VERSION", "MODEL")}

    assert Settings.load(environ=facts) == Settings.load(environ={})


def test_output_of_a_command_cannot_steer_the_terminal(run: Run, models: Path) -> None:
    place = two_slots(run, models)
    rude = script(models, "rude", r"printf '\033]0;owned\007\n'")

    answer = run("artifacts", "switch", "--slot", "green", "--to", str(place), "--health", rude)

    assert "\x1b" not in answer.err
    assert r"\x1b]0;owned" in answer.err


def test_restart_without_a_switch_makes_no_sense(run: Run, models: Path) -> None:
    answer = run(
        "artifacts", "stage", "local:model-v1", "--slot", "green", "--to", "srv",
        "--restart", "true",
    )  # fmt: skip

    assert answer.status == 2
    assert "add --switch" in answer.err
    assert not (models / "srv").exists()


@pytest.mark.parametrize(
    ("ref", "told", "status"),
    [
        ("local:nowhere", "there is no folder nowhere", 3),
        ("hf:deepset/gbert-base", "herdbook artifacts create --from hf:deepset/gbert-base", 2),
        ("./model-v1", "local", 2),
    ],
)
def test_a_reference_that_cannot_be_staged(
    run: Run, models: Path, ref: str, told: str, status: int
) -> None:
    answer = run("artifacts", "stage", ref, "--slot", "green", "--to", "srv")

    assert answer.status == status
    assert told in answer.err
    assert not (models / "srv").exists()


def test_a_dry_run_changes_and_runs_nothing(run: Run, models: Path) -> None:
    place = two_slots(run, models)
    before = sorted(path.name for path in (place / ".slots").iterdir())
    mark = models / "ran"

    answers = [
        run("artifacts", *words, "--to", str(place), "--dry-run")
        for words in (
            ("stage", "local:model-v1", "--slot", "green", "--health", f"touch {mark}"),
            ("switch", "--slot", "green", "--restart", f"touch {mark}"),
        )
    ]

    assert [answer.status for answer in answers] == [0, 0]
    assert "Would stage local:model-v1 into green, which holds local:model-v2" in answers[0].out
    assert sorted(path.name for path in (place / ".slots").iterdir()) == before
    assert served(place) == "v1"
    assert not mark.exists()
    assert run("artifacts", "back", "--to", str(place), "--dry-run").status == 3


# --- back and slots ---


def test_back_is_one_command_without_any_register(run: Run, models: Path) -> None:
    place = two_slots(run, models)
    assert run("artifacts", "switch", "--slot", "green", "--to", str(place)).status == 0

    answer = run(
        "artifacts", "back", "--to", str(place), "--restart", "true", "--verify", "true",
    )  # fmt: skip

    assert answer.status == 0
    assert f"{place}/current is blue (local:model-v1); it was green." in answer.out
    assert served(place) == "v1"


def test_a_way_back_that_does_not_verify_stays_and_says_so(run: Run, models: Path) -> None:
    place = two_slots(run, models)
    run("artifacts", "switch", "--slot", "green", "--to", str(place))

    answer = run("artifacts", "back", "--to", str(place), "--verify", "false")

    assert answer.status == 1
    assert "current is blue (local:model-v1), it was green, and stays so" in answer.err
    assert f"herdbook artifacts switch --slot green --to {place}" in answer.err


def test_slots_shows_what_each_holds_and_the_moves(run: Run, models: Path) -> None:
    place = two_slots(run, models)
    run("artifacts", "switch", "--slot", "green", "--to", str(place))

    text, body = (
        run("artifacts", "slots", "--to", str(place), *more) for more in ((), ("--json",))
    )

    assert "current is green (local:model-v2)" in text.err
    assert "green (local:model-v2); it was blue" in text.err
    assert "SLOT" in text.out
    found = json.loads(body.out)
    assert found["current"] == "green"
    assert [held["slot"] for held in found["slots"]] == ["blue", "green"]
    assert found["slots"][0]["digest"].startswith("sha256:")
    assert [move["slot"] for move in found["history"]] == ["green", "blue"]
    assert run("artifacts", "slots", "--to", str(place), "-q").out.split() == ["blue", "green"]


# --- with the register ---


@pytest.fixture
def pushed(run: Run, models: Path) -> Path:
    """Put majora v1 and v2 into a register and into slots; v2 is in production."""
    with hb.connect() as book:
        for version in ("v1", "v2"):
            book.artifacts.push("majora", version, path=models / f"model-{version}")
            book.deployments.promote(f"majora:{version}")
    place = models / "srv"
    for version, slot in (("v1", "blue"), ("v2", "green")):
        words = ("artifacts", "stage", f"majora:{version}", "--slot", slot, "--to", str(place))
        assert run(*words, "--switch").status == 0
    return place


def champion() -> str:
    with hb.connect() as book:
        return book.deployments.alias("majora").number


def test_a_version_of_the_register_is_staged_in_copies(run: Run, pushed: Path) -> None:
    file = pushed / "current" / "model.safetensors"

    body = json.loads(run("artifacts", "slots", "--to", str(pushed), "--json").out)

    assert file.read_bytes() == b"v2" * 1_000
    assert (file.stat().st_nlink, stat.S_IMODE(file.stat().st_mode)) == (1, 0o444)
    with hb.connect() as book:
        assert body["slots"][1]["digest"] == book.get("majora:v2").facts.manifest


def test_a_version_without_bytes_cannot_be_staged(run: Run, pushed: Path) -> None:
    with hb.connect() as book:
        book.models.register("majora", "v3")

    answer = run("artifacts", "stage", "majora:v3", "--slot", "blue", "--to", str(pushed))

    assert answer.status == 3
    assert "registered without its files" in answer.err


def test_the_whole_rollback_procedure_in_one_command(run: Run, models: Path, pushed: Path) -> None:
    log = models / "log"
    restart = script(models, "restart", f'echo "$HERDBOOK_VERSION $HERDBOOK_SLOT" >> {log}')

    answer = run(
        "rollback", "majora", "--to", str(pushed), "--restart", restart,
        "--verify", f"grep -q v1 {pushed}/current/config.json",
    )  # fmt: skip

    assert answer.status == 0, answer.err
    assert champion() == "v1"
    assert served(pushed) == "v1"
    assert log.read_text() == "majora:v1 blue\n"
    assert "majora@champion is back at v1; it was v2" in answer.out
    assert f"{pushed}/current is blue (majora:v1)." in answer.out
    assert "verify passed." in answer.out


def test_a_rollback_stages_the_bytes_when_no_slot_holds_them(run: Run, pushed: Path) -> None:
    run("artifacts", "stage", "local:model-v2", "--slot", "blue", "--to", str(pushed))

    answer = run("rollback", "majora", "--to", str(pushed), "--json")

    body = json.loads(answer.out)
    assert (answer.status, body["move"]["to_number"], body["switched"]["slot"]) == (0, "v1", "blue")
    assert served(pushed) == "v1"


def test_a_rollback_takes_no_slot_whose_bytes_were_damaged(run: Run, pushed: Path) -> None:
    damaged = (pushed / "blue" / "model.safetensors").resolve()
    damaged.chmod(0o644)
    damaged.write_bytes(b"vX" + b"v1" * 999)

    assert run("rollback", "majora", "--to", str(pushed)).status == 0

    assert (pushed / "current" / "model.safetensors").read_bytes() == b"v1" * 1_000


def test_a_rollback_that_does_not_verify_says_how_everything_stands(run: Run, pushed: Path) -> None:
    answer = run(
        "rollback", "majora", "--to", str(pushed), "--restart", "true", "--verify", "false",
    )  # fmt: skip

    assert answer.status == 1
    told = line(answer)
    assert "verify failed with status 1. Nothing was taken back" in told
    assert "majora@champion is v1, it was v2" in told
    assert f"{pushed}/current is blue (majora:v1)" in told
    assert "herdbook deploy majora:v2" in told
    assert (champion(), served(pushed)) == ("v1", "v1")


def test_a_rollback_that_does_not_verify_can_be_taken_back(
    run: Run, models: Path, pushed: Path
) -> None:
    log = models / "log"
    restart = script(models, "restart", f'echo "$HERDBOOK_VERSION $HERDBOOK_SLOT" >> {log}')
    verify = script(models, "verify", 'test "$HERDBOOK_VERSION" = majora:v2')

    answer = run(
        "rollback", "majora", "--to", str(pushed), "--restart", restart, "--verify", verify,
        "--undo",
    )  # fmt: skip

    assert answer.status == 1
    assert "Taken back: majora@champion is v2 again" in answer.err
    assert f"{pushed}/current is green (majora:v2) again" in answer.err
    assert "restart passed; verify passed" in answer.err
    assert (champion(), served(pushed)) == ("v2", "v2")
    assert log.read_text().splitlines() == ["majora:v1 blue", "majora:v2 green"]


def test_a_rollback_whose_bytes_are_missing_can_be_taken_back(run: Run, models: Path) -> None:
    with hb.connect() as book:
        book.models.register("majora", "v1")
        book.deployments.promote("majora:v1")
        book.artifacts.push("majora", "v2", path=models / "model-v2")
        book.deployments.promote("majora:v2")
    mark = models / "ran"

    told = run("rollback", "majora", "--to", "srv", "--restart", f"touch {mark}", "--undo")

    assert told.status == 1
    assert "the bytes were not restored: majora:v1 was registered without its files" in told.err
    assert "majora@champion is v2 again" in told.err
    assert champion() == "v2"
    assert not mark.exists()


def test_a_rollback_with_a_slip_moves_nothing(run: Run, models: Path, pushed: Path) -> None:
    for words in (
        ("--verify", "no-such-program-here"),
        ("--undo",),
        ("--slot", "blue"),
        ("--to", str(pushed), "--slot", "current"),
        ("--to", str(pushed), "--slot", "green"),
        ("--to", str(models / "model-v1" / "config.json")),
    ):
        answer = run("rollback", "majora", *words)

        assert answer.status in {2, 4}, words
        assert champion() == "v2", words


def test_a_dry_run_of_a_rollback_runs_nothing(run: Run, models: Path, pushed: Path) -> None:
    mark = models / "ran"

    answer = run(
        "rollback", "majora", "--to", str(pushed), "--restart", f"touch {mark}", "--dry-run"
    )

    assert answer.status == 0
    assert f"Would then restore majora:v1 in {pushed}, then run touch" in answer.err
    assert (champion(), served(pushed)) == ("v2", "v2")
    assert not mark.exists()


def test_a_plain_rollback_answers_as_before(run: Run, pushed: Path) -> None:
    body = json.loads(run("rollback", "majora", "--json").out)

    assert (body["to_number"], body["kind"]) == ("v1", "rollback")
    assert served(pushed) == "v2"
