"""Many processes that begin at the same moment, and ones that are killed at a given step."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Not a fork of this process: by the time this runs it may have threads of its own, whose locks a
# child would inherit held.
CLEAN = multiprocessing.get_context("forkserver")
KILLED = -signal.SIGKILL


def run_apart(work: Callable[..., None], *args: Any) -> int:
    """Run something in a process of its own and give how it ended."""
    process = CLEAN.Process(target=work, args=args)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


def at_once(count: int, work: Callable[[int], None]) -> list[int]:
    """Fork, let all begin at once, and give the exit statuses; for a process without threads."""
    waiting, starting = os.pipe()
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            os.close(starting)
            os.read(waiting, 1)
            _work(work, number)
        children.append(child)
    os.close(starting)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _work(work: Callable[[int], None], number: int) -> None:
    try:
        work(number)
    except BaseException as error:  # noqa: BLE001 - the status tells
        sys.stderr.write(f"{error!r}\n")
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def die_at_step(step: int, folder: Path) -> None:
    """Kill this process at the so-manieth time that it changes or opens something in a folder."""
    left, within = step, str(folder)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        if event not in _STEPS or not any(str(arg).startswith(within) for arg in args[:2]):
            return
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


_STEPS = frozenset(
    {
        *("open", "os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir"),
        *("os.scandir", "os.utime", "shutil.rmtree"),
    }
)
