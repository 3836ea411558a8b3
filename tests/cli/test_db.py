"""The database's own commands: check, upgrade, back up, restore, examine."""

import json
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from herdbook.cli.examination import Judgement, clock, file_system
from tests.cli.conftest import Run


def test_a_backup_is_restored_where_nothing_is(example: Run, tmp_path: Path) -> None:
    kept = tmp_path / "kept.db"
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"

    assert example("db", "backup", str(kept)).status == 0
    answer = example("db", "restore", str(kept), "--yes", "--url", elsewhere)

    assert "The log is intact" in answer.out
    log = example("audit", "list", "--json").out
    assert example("audit", "list", "--json", "--url", elsewhere).out == log


def test_a_restore_never_overwrites_a_register(example: Run, tmp_path: Path) -> None:
    example("db", "backup", str(tmp_path / "kept.db"))

    answer = example("db", "restore", str(tmp_path / "kept.db"), "--yes")

    assert answer.status == 4
    assert "holds a register" in answer.err


@pytest.mark.parametrize("kind", ["kept.db", "kept.jsonl"])
def test_a_damaged_register_is_set_aside_for_a_backup(
    example: Run, home: Path, tmp_path: Path, kind: str
) -> None:
    kept, register = tmp_path / kind, home / "herdbook.db"
    example(*(["db", "backup"] if kind == "kept.db" else ["export", "-o"]), str(kept))
    damaged = register.read_bytes()[:1000] + b"damage" * 4_000
    register.write_bytes(damaged)

    unreadable = example("list")
    refused = example("db", "restore", str(kept))
    answer = example("db", "restore", str(kept), "--yes")

    assert (unreadable.status, refused.status) == (7, 2)
    assert answer.status == 0, answer.err
    (aside,) = home.glob("herdbook.db.damaged-*")
    assert aside.read_bytes() == damaged
    assert str(aside) in answer.err
    assert example("versions", "majora", "-q").out.split()[0] == "majora:v2"


def test_an_empty_register_takes_a_backup(example: Run, tmp_path: Path) -> None:
    example("db", "backup", str(tmp_path / "kept.db"))
    empty = f"sqlite:///{tmp_path / 'empty.db'}"
    example("db", "upgrade", "--url", empty)

    assert example("db", "restore", str(tmp_path / "kept.db"), "--yes", "--url", empty).status == 0
    assert example("versions", "majora", "-q", "--url", empty).out.split()[0] == "majora:v2"


def test_a_backup_overwrites_nothing(example: Run, tmp_path: Path) -> None:
    example("db", "backup", str(tmp_path / "kept.db"))

    assert example("db", "backup", str(tmp_path / "kept.db")).status == 8


def test_a_damaged_backup_is_not_restored(example: Run, tmp_path: Path) -> None:
    kept = tmp_path / "kept.db"
    example("db", "backup", str(kept))
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])

    answer = example("db", "restore", str(kept), "--yes", "--url", "sqlite:///new.db")

    assert answer.status == 7
    assert (
        not (tmp_path / "new.db").exists()
        or not example("list", "-q", "--url", "sqlite:///new.db").out
    )


def test_a_backup_that_is_not_there(run: Run) -> None:
    assert run("db", "restore", "absent.db", "--yes").status == 3
    assert run("db", "backup", "kept.db").status == 3


def test_backup_and_restore_on_postgresql(example: Run, postgres_url: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    on_postgresql = ("--url", postgres_url)
    example("add", "oracle", "v1", *on_postgresql)

    assert example("db", "backup", str(kept), *on_postgresql).status == 0
    answer = example("db", "restore", str(kept), "--yes", "--url", "sqlite:///back.db")

    assert answer.status == 0, answer.err
    assert example("list", "-q", "--url", "sqlite:///back.db").out == "oracle\n"


def test_a_sqlite_backup_does_not_go_into_postgresql(
    example: Run, postgres_url: str, tmp_path: Path
) -> None:
    example("db", "backup", str(tmp_path / "kept.db"))

    answer = example("db", "restore", str(tmp_path / "kept.db"), "--yes", "--url", postgres_url)

    assert answer.status == 2
    assert "herdbook export" in answer.err


def test_postgresql_is_examined_too(example: Run, postgres_url: str) -> None:
    assert example("doctor", "--url", postgres_url).status == 1
    example("add", "majora", "--url", postgres_url)

    told = json.loads(example("doctor", "--url", postgres_url, "--json").out)

    assert told["ok"]
    assert {"postgresql", "audit log"} <= {finding["name"] for finding in told["findings"]}


def test_check_and_upgrade(run: Run) -> None:
    assert run("db", "check").status == 9
    assert "it was empty" in run("db", "upgrade").out
    assert run("db", "check").status == 0
    assert "was before" in run("db", "upgrade").out
    assert run("db", "check", "--url", "http://127.0.0.1:1").status == 2


def test_a_register_in_order_is_found_so(example: Run) -> None:
    answer = example("doctor", "--json")

    told = json.loads(answer.out)
    names = {finding["name"] for finding in told["findings"]}
    assert answer.status == 0
    assert {"sqlite", "integrity", "audit log", "journal mode", "fsync", "clock"} <= names
    assert "BAD" not in example("doctor").out


def test_a_register_that_is_not_there_yet_is_no_fault(run: Run) -> None:
    answer = run("doctor")

    assert answer.status == 0
    assert "the first command makes it" in answer.out


def test_a_changed_log_is_bad(example: Run, home: Path) -> None:
    with sqlite3.connect(home / "herdbook.db") as connection:
        triggers = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'events'"
        ).fetchall()
        for (name,) in triggers:
            connection.execute(f'DROP TRIGGER "{name}"')
        connection.execute("UPDATE events SET by = 'nobody' WHERE seq = 1")
    connection.close()

    answer = example("doctor")

    assert answer.status == 1
    assert "was changed after it was written" in answer.out


def test_changed_facts_and_a_moved_alias_are_bad(example: Run, home: Path) -> None:
    with sqlite3.connect(home / "herdbook.db") as connection:
        connection.execute("DROP TRIGGER versions_sealed")
        connection.execute("UPDATE versions SET facts = replace(facts, 'null', '1')")
        connection.execute("UPDATE aliases SET version_id = NULL")
    connection.close()

    answer = example("doctor")

    assert answer.status == 1
    assert "BAD   contents" in answer.out
    assert "the guard versions_sealed is missing" in answer.out
    assert "one of them was changed" in answer.out


def test_a_file_that_is_no_database_is_bad(run: Run, tmp_path: Path) -> None:
    (tmp_path / "not.db").write_text("not a database" * 100)

    assert run("doctor", "--url", f"sqlite:///{tmp_path / 'not.db'}").status == 1


def test_a_server_that_does_not_answer_is_bad(run: Run) -> None:
    assert run("doctor", "--url", "http://127.0.0.1:1").status == 1
    assert run("server", "health", "--url", "http://127.0.0.1:1").status == 6


@pytest.mark.skipif(os.name != "posix", reason="folders have no mode elsewhere")
def test_a_folder_anybody_may_write_to_is_a_warning(example: Run, home: Path) -> None:
    home.chmod(0o777)

    assert "anybody on this machine" in example("doctor").out


def test_the_kind_of_a_file_system() -> None:
    mounts = "a / ext4 rw\nb /data nfs4 rw\nc /data/local\\040disk xfs rw"

    assert file_system(Path("/data/models"), mounts) == "nfs4"
    assert file_system(Path("/data/local disk/x"), mounts) == "xfs"
    assert file_system(Path("/other"), mounts) == "ext4"
    assert file_system(Path("/other"), "") == ""


def test_a_clock_that_is_behind() -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)

    assert clock(now, newest=None).judgement is Judgement.GOOD
    assert clock(now, newest=now + timedelta(hours=1)).judgement is Judgement.WARNING
    assert clock(now.replace(year=2001), newest=None).judgement is Judgement.BAD
