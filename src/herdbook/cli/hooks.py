"""Commands of the user's own that decide: health, restart, verify.

A command is words as a shell would read them, quotes included, and is run without a shell. What
needs one (pipes, `&&`, variables) is written `sh -c '…'`.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

import click

from herdbook.cli.output import clean
from herdbook.cli.session import Session
from herdbook.errors import Invalid

TIMEOUT_SECONDS: Final = 60.0
PAUSE_SECONDS: Final = 1.0
# How long what a command leaves running may still write where the command wrote.
LAST_WORDS_SECONDS: Final = 1.0
CANNOT_RUN: Final = 126  # as shells have it
_OF_A_SHELL: Final = frozenset("|&;<>()\n")
_EVEN_QUOTED: Final = frozenset("$`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A command that was run.

    Args:
        name: health, restart or verify.
        command: as it was given.
        status: its exit status, below 0 for the signal that ended it; None when it took too long.
        seconds: how long it took, tries before it included.
    """

    name: str
    command: str
    status: int | None
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it said yes."""
        return self.status == 0

    @property
    def told(self) -> str:
        """How it ended, for a sentence."""
        if self.status is None:
            return f"{self.name} took too long and was ended after {self.seconds:.1f} s"
        if self.status < 0:
            return f"{self.name} was ended by {_signal(-self.status)}"
        return f"{self.name} {'passed' if self.ok else f'failed with status {self.status}'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """What to run and how long it may take.

    Args:
        health: before a switch, on the staged slot.
        restart: after a switch.
        verify: after that.
        timeout: seconds each of them may take.
        within: seconds in which verify may fail and is tried again.
    """

    health: str = ""
    restart: str = ""
    verify: str = ""
    timeout: float = TIMEOUT_SECONDS
    within: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what could not be run, before anything is done."""
        for name in ("health", "restart", "verify"):
            if getattr(self, name):
                words(getattr(self, name), option=name)

    def run(self, name: str, session: Session, **facts: str) -> Ran | None:
        """Run a command, if it was given; verify is repeated as long as it may be.

        Args:
            name: which.
            session: where its output is shown.
            facts: for its environment: SLOT is HERDBOOK_SLOT there.
        """
        command: str = getattr(self, name)
        if not command:
            return None
        began, environ = time.monotonic(), {f"HERDBOOK_{key}": facts[key] for key in facts}
        session.note(f"{name}: {clean(command)}")
        while True:
            status = run(words(command, option=name), environ, self.timeout, _show)
            passed = time.monotonic() - began
            if status == 0 or name != "verify" or passed + PAUSE_SECONDS > self.within:
                return Ran(name=name, command=command, status=status, seconds=round(passed, 3))
            time.sleep(PAUSE_SECONDS)


def words(text: str, *, option: str) -> list[str]:
    """Split a command.

    Raises:
        Invalid: it holds what only a shell does, or there is no such program.

    Example:
        >>> words("test -e 'a b'", option="health")
        ['test', '-e', 'a b']
    """
    found = _of_a_shell(text)
    if found:
        raise Invalid(
            f"--{option} holds {found!r}, which only a shell reads: quote it, or write "
            f"--{option} \"sh -c '…'\"",
            field=option,
        )
    try:
        split = shlex.split(text)
    except ValueError as error:
        raise Invalid(f"--{option} {text!r:.80} cannot be read: {error}", field=option) from None
    if not split or shutil.which(split[0]) is None:
        program = split[0] if split else ""
        raise Invalid(
            f"--{option}: there is no program {program!r:.80} to run; nothing was done",
            field=option,
        )
    return split


def _of_a_shell(text: str) -> str:
    """Give the first character that a shell would not take as it is, or ""."""
    quote, escaped = "", False
    for char in text:
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif (char in _EVEN_QUOTED and quote != "'") or (char in _OF_A_SHELL and not quote):
            return char
    return ""


def run(
    command: list[str], environ: Mapping[str, str], timeout: float, show: Callable[[str], None]
) -> int | None:
    """Run a program to its end, and give its exit status; None when it was ended for its time.

    Args:
        command: the program and its arguments.
        environ: what to add to the environment.
        timeout: seconds; then it and what it started is ended.
        show: takes its output line by line.
    """
    settings: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        running = subprocess.Popen(  # noqa: S603 - the command is the caller's own
            command,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environ},
            start_new_session=True,
            **settings,
        )
    except OSError as error:
        show(f"{command[0]}: {error.strerror}")
        return CANNOT_RUN
    assert running.stdout  # noqa: S101 - it is a pipe
    reader = threading.Thread(target=_read, args=(running.stdout, show), daemon=True)
    reader.start()
    try:
        return running.wait(timeout)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if running.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        # What it started may keep the pipe open for ever, as a service does.
        reader.join(LAST_WORDS_SECONDS)


def _read(stream: IO[bytes], show: Callable[[str], None]) -> None:
    with stream, contextlib.suppress(OSError, ValueError):
        for line in stream:
            show(line.decode(errors="replace").rstrip("\r\n"))


def _show(text: str) -> None:
    # Under --quiet too: where a command says why it failed, nobody else does.
    click.echo(f"  {clean(text)}", err=True)


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def options(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Take --health, --restart, --verify as named, with their times."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        if "verify" in names:
            command = click.option(
                "--within",
                type=click.FloatRange(min=0),
                default=0.0,
                metavar="SECONDS",
                help="Try --verify again and again for so long.",
            )(command)
        command = click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            default=TIMEOUT_SECONDS,
            show_default=True,
            metavar="SECONDS",
            help="How long a command may take.",
        )(command)
        for name in reversed(names):
            command = click.option(f"--{name}", default="", metavar="COMMAND", help=_HELP[name])(
                command
            )
        return command

    return decorate


_HELP: Final = {
    "health": "Must pass before the switch.",
    "restart": "Run after the switch.",
    "verify": "Must pass after that.",
}
