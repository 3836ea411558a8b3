"""Journals of processes that died: whoever lives takes them over, one at a time."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

from herdbook.errors import Corrupt
from herdbook.storage.journal import holding
from herdbook.storage.journal.journal import DAMAGED, ENDING, Journal

_log = logging.getLogger("herdbook")


def orphans(folder: Path, *, owner: Mapping[str, str]) -> Iterator[Journal]:
    """Give the journals nobody holds any more, each held while the caller works on it.

    Args:
        folder: where journals are.
        owner: the register they have to be for, and as whom; others are left alone.
    """
    for path in sorted(folder.glob(f"*{ENDING}")):
        with suppress(OSError):
            fd = holding.held(path)
            if fd is not None:
                yield from _taken(path, fd, owner)
    for path in folder.glob("*.new"):
        # Whoever makes a journal is killed before it is one: nothing is in it.
        with suppress(OSError):
            _sweep(path)


def _taken(path: Path, fd: int, owner: Mapping[str, str]) -> Iterator[Journal]:
    try:
        journal = Journal(path, fd)
    except (Corrupt, ValueError) as damage:
        holding.let_go(fd)
        set_aside = path.with_suffix(DAMAGED)
        path.rename(set_aside)
        _log.warning("a journal of recorded results is set aside as %s: %s", set_aside, damage)
        return
    except OSError:
        holding.let_go(fd)
        raise
    with closing(journal):
        if all(journal.owner.get(name) == value for name, value in owner.items()):
            yield journal


def _sweep(path: Path) -> None:
    fd = holding.held(path)
    if fd is not None:
        path.unlink(missing_ok=True)
        holding.let_go(fd)
