"""The reference part of docs/cli.md, written from the commands themselves.

`python -m tests.cli.reference` writes it anew.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from herdbook.cli.commands import Command, Group
from herdbook.cli.main import COMMANDS, app

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
BEGIN = "<!-- reference: written by `python -m tests.cli.reference` -->\n"


def reference() -> str:
    """Give the reference: every command under its heading, with its options and examples."""
    parts: list[str] = []
    section = ""
    for name, later in COMMANDS.items():
        if later.section != section:
            section = later.section
            parts.append(f"## {section}")
        command = app.get_command(click.Context(app), name)
        assert command is not None
        parts += _entry(name, command, "###")
        if isinstance(command, click.Group):
            for verb, inner in command.commands.items():
                parts += _entry(f"{name} {verb}", inner, "####")
    return "\n\n".join(parts) + "\n"


def _entry(path: str, command: click.Command, mark: str) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    words = " ".join(["herdbook", path, *(a.make_metavar(context) for a in arguments)])
    yield f"{mark} `{words}`"
    for paragraph in (command.help or "").split("\n\n"):
        yield " ".join(paragraph.split())
    if not isinstance(command, click.Group):
        rows = [_row(p, context) for p in command.params if _shown(p)]
        if rows:
            yield "\n".join(["| option | |", "|---|---|", *rows])
    assert isinstance(command, Command | Group)
    yield "\n".join(["```bash", *(f"herdbook {line}" for line in command.examples), "```"])


def _shown(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and not parameter.hidden


def _row(option: click.Parameter, context: click.Context) -> str:
    assert isinstance(option, click.Option)
    choices = option.type.choices if isinstance(option.type, click.Choice) else ()
    takes_value = not option.is_flag
    metavar = f" {option.name.upper()}" if choices and option.name else ""
    if takes_value and not choices:
        metavar = f" {option.make_metavar(context).replace('INTEGER RANGE', 'INTEGER')}"
    told = [option.help or ""]
    if choices:
        told.append(f"One of {', '.join(choices)}.")
    if option.show_default and option.default not in (None, ""):
        told.append(f"Default: {_text(option.default)}.")
    return f"| {', '.join(f'`{name}{metavar}`' for name in option.opts)} | {' '.join(told)} |"


def _text(value: object) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


def page() -> str:
    """Give the whole page, its reference written anew."""
    head, begin, _ = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return head + begin + "\n" + reference()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
