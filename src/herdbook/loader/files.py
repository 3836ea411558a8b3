"""The files of a model's folder: which they are, how large, and whether they are the right ones."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from herdbook.core.artifacts import FILES_LIMIT
from herdbook.errors import Corrupt, Invalid
from herdbook.storage.blobs.files import Source
from herdbook.storage.blobs.passing import Fingerprint

_NAMED_LIMIT: Final = 5


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known of a file.

    Args:
        size: its bytes.
        digest: `sha256:…` of them, "" where they were not read.
    """

    size: int
    digest: str = ""


def read_fact(path: Path) -> Fact:
    """Read a file to its end.

    Raises:
        NotFound: nothing is there.
        Invalid: it is a link or no file, or changed meanwhile.
    """
    with Source(path) as source:
        passed = Fingerprint.of(source.chunks())
    return Fact(passed.size, passed.digest)


def walk(folder: Path) -> Iterator[str]:
    """Give the path of everything in a folder that is no folder itself, links too, in order.

    Raises:
        Invalid: there are more than a version can have.
    """
    count = 0
    for place, folders, names in os.walk(folder):
        folders.sort()
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        for name in sorted([*names, *links]):
            count += 1
            if count > FILES_LIMIT:
                raise Invalid(
                    f"{folder} holds more than {FILES_LIMIT:,} files; name the folder of one model",
                    field="ref",
                )
            yield (Path(place) / name).relative_to(folder).as_posix()


def sizes(folder: Path) -> dict[str, Fact]:
    """Give the files of a folder without reading them; those behind links count."""
    paths = ((path, folder / path) for path in walk(folder))
    return {path: Fact(at.stat().st_size) for path, at in paths if at.is_file()}


def refuse_others(folder: Path, expected: Mapping[str, object], *, by: str) -> None:
    """Refuse a folder that lacks a file or has one too many.

    Args:
        folder: where the files are.
        expected: their paths.
        by: what says so, for the message.

    Raises:
        Corrupt: naming some of them.
    """
    there = set(walk(folder))
    missing = sorted(expected.keys() - there)
    if missing:
        raise Corrupt(f"{folder} lacks {_some(missing)}, which {by} lists; restore the folder")
    extra = sorted(there - expected.keys())
    if extra:
        raise Corrupt(
            f"{folder} holds {_some(extra)}, which {by} does not list; remove what was added, or "
            "make a new artifact of the folder"
        )


def refuse_changed(folder: Path, path: str, expected: Fact, *, by: str) -> None:
    """Refuse a file whose bytes are other ones.

    Raises:
        Corrupt: it is changed.
    """
    found = read_fact(folder / path)
    if found != expected:
        raise Corrupt(
            f"{folder / path} has {found.size:,} bytes of {found.digest}, where {by} says "
            f"{expected.size:,} of {expected.digest}; restore the folder"
        )


def _some(paths: list[str]) -> str:
    named = ", ".join(paths[:_NAMED_LIMIT])
    return named if len(paths) <= _NAMED_LIMIT else f"{named} and {len(paths) - _NAMED_LIMIT} more"
