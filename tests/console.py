"""Run the `console` blocks of a page: what is shown is what happens.

A line beginning with `$ ` is a command, run by bash in the page's own folder; the lines below
it are its output, standard error included, up to the next command. `…` stands for any text.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

from sybil import Example
from sybil.parsers.myst import CodeBlockParser

TIMEOUT_SECONDS = 60


class ConsoleParser(CodeBlockParser):
    """Evaluate `console` blocks."""

    language = "console"

    def evaluate(self, example: Example) -> str | None:
        """Run each command and compare its output; give what differs."""
        for command, expected in commands(str(example.parsed)):
            shown, status = run(command)
            if not matches(expected, shown) or (status and not expected):
                return f"$ {command}\nexpected:\n{expected}\n\ngot:\n{shown}"
        return None


def commands(block: str) -> list[tuple[str, str]]:
    """Split a block into commands and their outputs."""
    found: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and found[-1][0].endswith("\\"):
            found[-1] = (found[-1][0] + "\n" + line, [])
        elif found:
            found[-1][1].append(line)
    return [(command, "\n".join(lines).strip()) for command, lines in found]


def run(command: str) -> tuple[str, int]:
    """Run a command with the herdbook of this environment: what it printed, its status."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
        env={**os.environ, "PATH": path, "COLUMNS": "100", "NO_COLOR": "1"},
    )
    shown = "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip()
    return shown, done.returncode


def matches(expected: str, shown: str) -> bool:
    """Whether an output is as expected; an empty expectation takes any of a success."""
    if not expected:
        return True
    pattern = ".*?".join(re.escape(part) for part in expected.split("…"))
    return re.fullmatch(pattern, shown, flags=re.S) is not None
