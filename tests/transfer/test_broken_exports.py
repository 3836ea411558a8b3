"""Exports that are not what they were when they were written: refused, and nothing written."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import herdbook as hb
from herdbook.errors import Corrupt, HerdbookError, Invalid
from tests.transfer.registers import furnish, opened


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lines of a good export."""
    with opened(f"sqlite:///{tmp_path_factory.mktemp('good')}/own.db") as book:
        furnish(book)
        return list(book.export())


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[hb.Herdbook]:
    """An empty register."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/own.db" if sqlite else request.getfixturevalue("postgres_url")
    with opened(url) as found:
        yield found


def place(lines: list[str], kind: str) -> int:
    """Give where the first line of a kind stands."""
    return next(at for at, line in enumerate(lines) if f'"kind":"{kind}"' in line[:40])


def edited(lines: list[str], kind: str, change: Callable[[dict[str, Any]], object]) -> list[str]:
    """Change the first line of a kind."""
    at = place(lines, kind)
    body = json.loads(lines[at])
    change(body)
    return [*lines[:at], json.dumps(body, separators=(",", ":")), *lines[at + 1 :]]


def sealed(lines: list[str]) -> list[str]:
    """Make the last line fit lines that were changed, as a forger would."""
    end = json.loads(lines[-1])
    text = "".join(line + "\n" for line in lines[:-1])
    end["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    return [*lines[:-1], json.dumps(end, separators=(",", ":"))]


def refused_whole(folder: Path, lines: list[str], match: str) -> None:
    """See that an export is refused by its line, and that nothing of it was written."""
    with opened(f"sqlite:///{folder}/two.db") as two:
        empty = list(two.export())

        with pytest.raises(Invalid, match=match) as caught:
            two.load(sealed(lines))

        assert "line" in str(caught.value)
        assert list(two.export()) == empty


def noticed(folder: Path, lines: list[str], kinds: Iterable[str]) -> None:
    """See that a line of each kind cannot be left out without being noticed."""
    for kind in kinds:
        with opened(f"sqlite:///{folder}/two.db") as two, pytest.raises(HerdbookError):
            two.load(without(lines, kind))


def without(lines: list[str], kind: str) -> list[str]:
    """Leave out the first line of a kind."""
    at = place(lines, kind)
    return lines[:at] + lines[at + 1 :]


def swapped(lines: list[str]) -> list[str]:
    """Put a version before the models."""
    at = place(lines, "version")
    return [lines[0], lines[at], *lines[1:at], *lines[at + 1 :]]


BROKEN: list[tuple[str, Callable[[list[str]], list[str]], type[HerdbookError], str]] = [
    ("nothing", lambda _: [], Invalid, "not an export"),
    ("another file", lambda _: ["id,name", "1,majora"], Invalid, "not an export"),
    ("a registry", lambda _: ['{"models": {}}'], Invalid, "--from"),
    ("a format to come", lambda x: edited(x, "header", lambda b: b.update(version=2)), Invalid,
     "update Herdbook"),
    ("no last line", lambda x: x[:-1], Corrupt, "cut off"),
    ("half of it", lambda x: x[: len(x) // 2], Corrupt, "cut off"),
    ("half a line", lambda x: [*x[:4], x[4][:30]], Invalid, "line 5 is not JSON"),
    ("a missing line", lambda x: without(x, "metric"), Corrupt, "lines were lost"),
    ("another text", lambda x: edited(x, "alias", lambda b: b.update(moved_by="x")), Corrupt,
     "SHA-256"),
    ("another sum", lambda x: edited(x, "end", lambda b: b.update(sha256="0")), Corrupt,
     "SHA-256"),
    ("a list", lambda x: [*x[:2], "[1]", *x[2:]], Invalid, "line 3 is not a JSON object"),
    ("NaN", lambda x: [*x[:2], '{"kind":"model","a":NaN}', *x[2:]], Invalid, "line 3 is not JSON"),
    ("depth", lambda x: [*x[:2], "[" * 99_999, *x[2:]], Invalid, "line 3 is not JSON"),
    ("an unknown kind", lambda x: edited(x, "move", lambda b: b.update(kind="jump")), Invalid,
     "of the kind 'jump'"),
    ("another order", swapped, Invalid, "another order"),
    ("two exports", lambda x: x + x, Corrupt, "joined"),
    ("a changed event", lambda x: sealed(edited(x, "event", lambda b: b.update(by="x"))), Corrupt,
     "does not verify: event 1 was changed"),
    ("a first event lost", lambda x: without(x, "event"), Corrupt, "event 1 is missing"),
    ("a tail cut off", lambda x: sealed([*x[:-2], x[-1].replace('"events":', '"events":-')]),
     Corrupt, "counts|tail"),
    ("changed facts", lambda x: sealed(edited(
        x, "version", lambda b: b["facts"]["training"].update(samples=1))), Corrupt, "digest"),
    ("impossible facts", lambda x: sealed(edited(
        x, "version", lambda b: b["facts"]["training"].update(samples=-1))), Invalid, "samples"),
    ("a counter behind", lambda x: sealed(edited(
        x, "model", lambda b: b.update(next_ordinal=1))), Corrupt, "counter of oracle"),
    ("a model twice", lambda x: [*x[:2], x[1], *x[2:]], Invalid, "there twice"),
    ("an unknown version", lambda x: edited(x, "metric", lambda b: b.update(number="v77")),
     Invalid, "names majora v77"),
    ("a huge number", lambda x: edited(x, "version", lambda b: b["about"].update(ordinal=2**70)),
     Invalid, "out of range"),
    ("a wrong shape", lambda x: edited(x, "model", lambda b: b.update(doc=[])), Invalid,
     "not a Model"),
    ("a wrong time", lambda x: edited(x, "event", lambda b: b.update(at="noon")), Invalid,
     "not an event"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "error", "says"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN]
)
def test_a_broken_export_is_refused_and_nothing_is_written(
    empty: hb.Herdbook,
    exported: list[str],
    broken: Callable[[list[str]], list[str]],
    error: type[HerdbookError],
    says: str,
) -> None:
    before = list(empty.export())

    for dry_run in (True, False):
        with pytest.raises(error, match=says):
            empty.load(broken(exported), dry_run=dry_run)

    assert list(empty.export()) == before
    empty.load(exported)
    assert list(empty.export()) == exported


def test_line_ends_of_another_system_do_no_harm(empty: hb.Herdbook, exported: list[str]) -> None:
    empty.load([line + "\r\n" for line in exported])

    assert list(empty.export()) == exported


CHILD = """
import sys, time, herdbook
def slowly(lines):
    for at, line in enumerate(lines):
        if at == 700:
            print("half", flush=True)
            time.sleep(60)
        yield line
with herdbook.connect(sys.argv[1]) as book, open(sys.argv[2]) as lines:
    book.load(slowly(lines))
"""


def test_an_import_killed_half_way_leaves_nothing(empty: hb.Herdbook, tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/source.db") as source:
        for number in range(1, 401):
            source.models.register("majora", f"v{number}")
        lines = list(source.export())
    path = tmp_path / "register.jsonl"
    path.write_text("".join(line + "\n" for line in lines), encoding="ascii")
    before = list(empty.export())
    command = [sys.executable, "-c", CHILD, empty.address, str(path)]

    with subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ)) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"half\n"
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    # PostgreSQL takes a moment to see that the other end has gone.
    time.sleep(0.5)

    assert list(empty.export()) == before
    empty.load(lines)
    assert list(empty.export()) == lines
