"""`herdbook artifacts cache …`: what was pulled to this machine."""

from typing import TYPE_CHECKING, Final

import click

from herdbook.cli import parameters as take
from herdbook.cli.commands import group
from herdbook.cli.output import Table, line
from herdbook.cli.session import DRY, Session
from herdbook.core.pages import Page

if TYPE_CHECKING:
    from herdbook.storage.cache import Cache, Checked, Damage, Pruned, Snapshot

_UNITS: Final = ("kB", "MB", "GB", "TB")
_SHORT: Final = len("sha256:") + 12


@group(
    "cache",
    examples=(
        "artifacts cache list",
        "artifacts cache verify --remove",
        "artifacts cache prune --to 20GB",
    ),
)
def cache() -> None:
    """List, verify and prune the versions that were pulled to this machine."""


def opened(session: Session) -> "Cache":
    """Open the cache of the settings."""
    from herdbook.storage.cache import Cache

    settings = session.settings()
    return Cache(settings.cache, limit_bytes=settings.cache_bytes)


@cache.command("list", examples=("artifacts cache list", "artifacts cache list --json"))
@click.pass_obj
def list_(session: Session) -> None:
    """List what was pulled, used last first."""
    found = tuple(reversed(opened(session).listing()))
    session.page(
        Page(items=found, next=None),
        ids=[each.digest for each in found],
        text=lambda: _table(session, found),
    )


def _table(session: Session, found: "tuple[Snapshot, ...]") -> Table:
    rows = [
        [
            ", ".join(each.refs) or "-",
            f"{each.digest[:_SHORT]}…",
            str(each.files),
            size_text(each.size_bytes),
            session.when(each.used_at),
            "yes" if each.in_use else "no",
        ]
        for each in found
    ]
    titles = ("pulled as", "manifest", ">files", ">size", "used", "in use")
    return Table(titles, rows, empty="Nothing has been pulled to this machine.")


@cache.command("verify", examples=("artifacts cache verify", "artifacts cache verify --remove"))
@click.option("--remove", is_flag=True, help="Remove what is damaged; a pull fetches it anew.")
@click.pass_context
def verify(context: click.Context, *, remove: bool) -> None:
    """Read every byte of the cache; ends with 1 when something is damaged."""
    session: Session = context.obj
    found = opened(session).verify(remove=remove)
    damaged = [each.digest for each in found.damage if each.digest]
    session.answer(found, ids=damaged, text=lambda: _verdict(found, remove=remove))
    if found.damage:
        context.exit(1)


def _verdict(found: "Checked", *, remove: bool) -> str:
    versions, files = count_text(found.snapshots, "version"), count_text(found.files, "file")
    read = f"{versions}, {files}, {size_text(found.size_bytes)} read"
    if not found.damage:
        return f"The cache is intact: {read}."
    told = [f"DAMAGED; {read}."]
    for each in found.damage:
        told += _damage(each)
    if not remove:
        told.append(
            "Run `herdbook artifacts cache verify --remove` and pull again; what is whole is kept."
        )
    return "\n".join(told)


def _damage(damage: "Damage") -> list[str]:
    name = ", ".join(damage.refs) or damage.digest or "a file of no version"
    gone = ", removed" if damage.removed else ""
    files = [f"  {line(each.path or 'the snapshot')}: {each.what}" for each in damage.problems]
    return [f"{line(name)}{gone}", *files]


@cache.command(
    "prune",
    examples=(
        "artifacts cache prune --to 20GB",
        "artifacts cache prune --all --dry-run",
    ),
)
@click.option("--to", metavar="SIZE", help="How much may stay, such as 20GB.")
@click.option("--all", "everything", is_flag=True, help="Remove all that is not in use.")
@take.dry_run_option
@click.pass_obj
def prune(session: Session, to: str | None, *, everything: bool, dry_run: bool) -> None:
    """Remove what was used least recently, and never what is in use.

    Without --to the setting `cache_bytes` says how much may stay.
    """
    to_bytes = 0 if everything else _wanted(session, to)
    if everything and to is not None:
        raise click.UsageError("--all and --to contradict each other: give one")
    found = opened(session).prune(to_bytes=to_bytes, dry_run=dry_run)
    session.answer(found, ids=found.removed, text=lambda: _told(found, dry_run=dry_run))
    if dry_run:
        session.note(DRY)


def _wanted(session: Session, to: str | None) -> int:
    from herdbook.settings import size_bytes

    if to is not None:
        return size_bytes(to, field="to")
    limit = session.settings().cache_bytes
    if not limit:
        raise click.UsageError("how much may stay? Give --to such as 20GB, or --all")
    return limit


def _told(found: "Pruned", *, dry_run: bool) -> str:
    verb = "Would remove" if dry_run else "Removed"
    told = (
        f"{verb} {count_text(len(found.removed), 'version')}, {size_text(found.freed_bytes)}; "
        f"{size_text(found.left_bytes)} {'would be' if dry_run else 'are'} left."
    )
    if found.in_use:
        told += f" In use, and so kept: {count_text(len(found.in_use), 'version')}."
    return told


def size_text(size: int) -> str:
    """Write a size for people.

    Example:
        >>> size_text(999), size_text(1_230_000_000)
        ('999 B', '1.2 GB')
    """
    if size < 1000:
        return f"{size} B"
    power = min((len(str(size)) - 1) // 3, len(_UNITS))
    return f"{size / 1000**power:.1f} {_UNITS[power - 1]}"


def count_text(number: int, noun: str) -> str:
    """Write how many of something.

    Example:
        >>> count_text(1, "blob"), count_text(2_000, "blob")
        ('1 blob', '2,000 blobs')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
