"""`herdbook config …`."""

import os
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from herdbook.cli.commands import group
from herdbook.cli.output import Table
from herdbook.cli.session import Session
from herdbook.errors import HerdbookError, Owned

if TYPE_CHECKING:
    from herdbook.settings import Settings

Project = tuple[Path | None, dict[str, Any]]
_SERVER: Final = ("http://", "https://")


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
    ] + _effective(session, project)
    session.answer(
        {"items": rows, "next": None},
        ids=[f"{row['name']}={row['value']}" for row in rows],
        text=lambda: Table(
            ("setting", "value", "from"),
            [[str(row["name"]), str(row["value"]), str(row["origin"])] for row in rows],
        ),
    )


def _effective(session: Session, project: "Project") -> list[dict[str, object]]:
    """Say what the settings come to: the register that is used, and who acts."""
    from herdbook.bootstrap import actor_name

    settings = session.settings()
    where = _origin("url", session, project)
    if not settings.url:
        where = f"home, {_origin('home', session, project)}"
    rows: list[dict[str, object]] = [
        {"name": "register", "value": _register(settings), "origin": where}
    ]
    if settings.database_url.startswith(_SERVER):
        return rows  # there the token says who acts
    with suppress(HerdbookError):
        actor = _origin("actor", session, project) if settings.actor else "the system's user"
        rows.append({"name": "acts_as", "value": actor_name(settings), "origin": actor})
    return rows


def _register(settings: "Settings") -> str:
    if settings.database_url.startswith(_SERVER):
        return f"through the server at {settings.database_url}"
    shown = str(settings.shown()["url"]) or settings.database_url
    server = _owner(settings)
    return f"{shown}, through the server at {server}" if server else shown


def _owner(settings: "Settings") -> str:
    """Give the address of the server that owns the file, or ""; nothing is made."""
    path = Path(settings.database_url.removeprefix("sqlite:///"))
    if not settings.database_url.startswith("sqlite") or not path.exists():
        return ""
    from herdbook.storage.sql.engine import Database

    try:
        Database(settings.database_url).close()
    except Owned as owned:
        return str(owned.details["url"])
    except HerdbookError:  # `herdbook doctor` is for that
        return ""
    return ""


def _value(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _origin(name: str, session: Session, project: "Project") -> str:
    file, found = project
    from herdbook.settings import ALSO_CALLED

    if name == "url" and session.url:
        return "--url"
    for variable in (f"HERDBOOK_{name.upper()}", ALSO_CALLED.get(name, "")):
        if os.environ.get(variable):
            return variable
    return str(file) if name in found else "default"


def _project(name: str) -> Project:
    here = Path.cwd()
    for place in (here, *here.parents):
        if (place / name).is_file():
            return place / name, tomllib.loads((place / name).read_text(encoding="utf-8"))
    return None, {}
