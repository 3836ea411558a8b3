"""Pushing a folder: `herdbook add --path`, `herdbook artifacts push`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from herdbook.cli import parameters as take
from herdbook.cli import signatures
from herdbook.cli.cache import size_text
from herdbook.cli.output import line
from herdbook.cli.parameters import Decorator
from herdbook.cli.progress import progress
from herdbook.cli.session import Session
from herdbook.errors import Invalid

if TYPE_CHECKING:
    from herdbook.front.artifacts import Pushed
    from herdbook.front.book import Herdbook


def version_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take all that can be said of a version, and how its files are pushed."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_OPTIONS: Final[tuple[Decorator, ...]] = (
    signatures.sign_options("sign-"),
    click.option(
        "--role",
        "roles",
        multiple=True,
        metavar="PATH=ROLE",
        help="What a file is for, where its name does not tell (repeat).",
    ),
    take.fact_options,
    take.metric_options,
    take.about_options,
    take.status_option,
    take.bump_option,
    click.option("--type", "model_type", help="The model's type, when it is new."),
    click.option("--owner", help="The model's owner, when it is new."),
    take.dry_run_option,
)


def taken_version(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Take the options of `version_options`: how files are pushed, and what the version is."""
    how = _taken_push(given)
    metrics = take.taken_metrics(given)
    facts = take.taken_tags(take.taken_facts(given))
    said = {name: value for name, value in facts.items() if value not in (None, "")}
    if given.get("git_commit") == "":
        said["git_commit"] = ""
    return how, {"metrics": metrics, **said}


def _taken_push(given: dict[str, Any]) -> dict[str, Any]:
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


def planned(session: Session, path: Path, roles: dict[str, str]) -> "Pushed":
    """Give what a push would send."""
    with session.book() as book:
        return book.artifacts.plan(path, roles=roles)


def told(pushed: "Pushed") -> str:
    """Say what went, or would go."""
    files = f"{pushed.files:,} file{'' if pushed.files == 1 else 's'}"
    head = f"{files}, {size_text(pushed.size)}, {pushed.manifest}"
    warned = "".join(f"\nWarning: {line(text)}" for text in pushed.warnings)
    if not pushed.new_files:
        return f"{head}; the store has all of it already.{warned}"
    new = f"{pushed.new_files:,} new, {size_text(pushed.new_bytes)}"
    return f"{head}; {new} {'would be ' if pushed.version is None else ''}stored.{warned}"
