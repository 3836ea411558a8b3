"""Help: what it says, what it costs, and that it is true."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from syrupy.assertion import SnapshotAssertion

from herdbook.cli.commands import Command, Group
from herdbook.cli.main import COMMANDS, app
from tests.cli.conftest import Run
from tests.cli.reference import PAGE, page

SLOW_TO_IMPORT = (
    "sqlalchemy", "fastapi", "starlette", "pydantic", "rich", "httpx2", "numpy", "asyncio",
    "alembic", "uvicorn",
)  # fmt: skip
CPU_SECONDS = 0.15


def _with_subcommands(name: str) -> Iterator[tuple[str, click.Command]]:
    found = app.get_command(click.Context(app), name)
    assert found is not None
    yield name, found
    if isinstance(found, click.Group):
        for verb, command in found.commands.items():
            yield f"{name} {verb}", command


@pytest.fixture(params=COMMANDS)
def commands(request: pytest.FixtureRequest) -> dict[str, click.Command]:
    """A command and, where it is a noun, its verbs."""
    return dict(_with_subcommands(request.param))


def test_the_first_page_of_help(run: Run, snapshot: SnapshotAssertion) -> None:
    answer = run("--help")

    assert answer.status == 0
    assert answer.out == snapshot


def test_the_help_of_every_command(
    run: Run, commands: dict[str, click.Command], snapshot: SnapshotAssertion
) -> None:
    pages = {path: run(*path.split(), "--help").out for path in commands}

    assert pages == snapshot


def test_every_command_shows_examples_of_itself(
    commands: dict[str, click.Command],
) -> None:
    for path, command in commands.items():
        assert isinstance(command, Command | Group), path
        assert command.examples, path
        assert all(set(path.split()) & set(line.split()) for line in command.examples), path


def test_every_command_says_in_a_sentence_what_it_does() -> None:
    context = click.Context(app)

    for name, later in COMMANDS.items():
        command = app.get_command(context, name)
        assert command is not None
        assert (command.help or "").split("\n\n")[0].rstrip().endswith("."), name
        assert later.summary.endswith("."), name


def test_every_command_is_documented(commands: dict[str, click.Command]) -> None:
    written = PAGE.read_text(encoding="utf-8")

    missing = [path for path in commands if f"`herdbook {path}" not in written]

    assert missing == []


def test_the_reference_is_what_the_commands_say() -> None:
    written = PAGE.read_text(encoding="utf-8")

    assert written == page(), "run python -m tests.cli.reference"


@pytest.mark.parametrize("words", [("--help",), ("deploy", "--help"), ("--version",)])
def test_help_imports_nothing_slow(words: tuple[str, ...]) -> None:
    script = (
        "import json, sys\n"
        "from herdbook.cli.main import main\n"
        "sys.stdout, out = open('/dev/null', 'w'), sys.stdout\n"
        f"main({list(words)!r})\n"
        "print(json.dumps(sorted(sys.modules)), file=out)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert set(json.loads(done.stdout)).isdisjoint(SLOW_TO_IMPORT)


def test_help_costs_little() -> None:
    costs = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "herdbook", "--help"], check=True, stdout=subprocess.DEVNULL
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    assert min(costs) <= CPU_SECONDS


def test_the_version(run: Run) -> None:
    assert run("--version").out.startswith("herdbook 0.")


def test_a_bare_noun_shows_its_help(run: Run) -> None:
    answer = run("audit")

    assert answer.status == 2
    assert "verify" in answer.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_of_a_shell(run: Run, shell: str) -> None:
    answer = run("completion", shell)

    assert answer.status == 0
    assert "_HERDBOOK_COMPLETE" in answer.out
