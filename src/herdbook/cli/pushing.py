"""Pushing a folder: `herdbook add --path`, `herdbook artifacts push`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from herdbook.cli import signatures
from herdbook.cli.cache import size_text
from herdbook.cli.output import line
from herdbook.cli.progress import progress
from herdbook.cli.session import Session
from herdbook.errors import Invalid

if TYPE_CHECKING:
    from herdbook.front.artifacts import Pushed
    from herdbook.front.book import Herdbook


def push_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take how files are pushed."""
    command = click.option(
        "--role",
        "roles",
        multiple=True,
        metavar="PATH=ROLE",
        help="What a file is for, where its name does not tell (repeat).",
    )(command)
    return signatures.sign_options("sign-")(command)


def taken_push(given: dict[str, Any]) -> dict[str, Any]:
    """Take the options of `push_options`."""
    roles = {}
    for text in given.pop("roles"):
        path, equals, role = text.rpartition("=")
        if not equals or not path or not role:
            raise Invalid(f"--role {text!r:.80} is no pair; write --role head.bin=weights")
        roles[path] = role
    return {"roles": roles, "sign": signatures.taken_sign(given)}


def push(  # noqa: PLR0913 - what a push is told
    session: Session,
    book: "Herdbook",
    model: str,
    version: str,
    *,
    path: Path,
    how: dict[str, Any],
    facts: dict[str, Any],
) -> "Pushed":
    """Push with progress."""
    from herdbook.front.folders import found_in

    total = sum(file.size for file in found_in(path))
    with progress(session, f"Pushing {path.name or path}", total) as said:
        return book.artifacts.push(model, version, path=path, said=said, **how, **facts)


def plan(session: Session, path: Path, roles: dict[str, str]) -> None:
    """Tell what a push would send."""
    with session.book() as book:
        planned = book.artifacts.plan(path, roles=roles)
    session.answer(planned, ids=[planned.manifest], text=lambda: told(planned))


def told(pushed: "Pushed") -> str:
    """Say what went, or would go."""
    files = f"{pushed.files:,} file{'' if pushed.files == 1 else 's'}"
    head = f"{files}, {size_text(pushed.size)}, {pushed.manifest}"
    warned = "".join(f"\nWarning: {line(text)}" for text in pushed.warnings)
    if not pushed.new_files:
        return f"{head}; the store has all of it already.{warned}"
    new = f"{pushed.new_files:,} new, {size_text(pushed.new_bytes)}"
    return f"{head}; {new} {'would be ' if pushed.version is None else ''}stored.{warned}"
