"""`herdbook config …`."""

import os
import tomllib
from pathlib import Path
from typing import Any

import click

from herdbook.cli.commands import group
from herdbook.cli.output import Table
from herdbook.cli.session import Session


@group("config", examples=("config list", "config list --json"))
def config() -> None:
    """Show settings and where they come from."""


@config.command("list", examples=("config list",))
@click.pass_obj
def list_(session: Session) -> None:
    """List every setting, its value and its origin; secrets are not shown."""
    from herdbook.settings import PROJECT_FILE

    shown = session.settings().shown()
    project = _project(PROJECT_FILE)
    rows = [
        {"name": name, "value": _value(value), "origin": _origin(name, session, project)}
        for name, value in shown.items()
    ]
    session.answer(
        {"items": rows, "next": None},
        ids=[f"{row['name']}={row['value']}" for row in rows],
        text=lambda: Table(
            ("setting", "value", "from"),
            [[str(row["name"]), str(row["value"]), str(row["origin"])] for row in rows],
        ),
    )


def _value(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _origin(name: str, session: Session, project: tuple[Path | None, dict[str, Any]]) -> str:
    file, found = project
    variable = f"HERDBOOK_{name.upper()}"
    if name == "url" and session.url:
        return "--url"
    if os.environ.get(variable):
        return variable
    return str(file) if name in found else "default"


def _project(name: str) -> tuple[Path | None, dict[str, Any]]:
    here = Path.cwd()
    for place in (here, *here.parents):
        if (place / name).is_file():
            return place / name, tomllib.loads((place / name).read_text(encoding="utf-8"))
    return None, {}
