"""`artifact_metadata.json`: what a folder made by Herdbook holds, and where it came from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from herdbook.core.artifacts import blob_digest, file_path
from herdbook.errors import Corrupt, Invalid
from herdbook.formats.reading import JSON_BYTES_LIMIT, json_value
from herdbook.loader.files import Fact, refuse_changed, refuse_others

NAME: Final = "artifact_metadata.json"
FORMAT: Final = "herdbook-artifact/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What is known of a folder of a model.

    Args:
        version: the name it was given, such as `v1`.
        source: the reference it was made from.
        revision: what that stood for then: a commit, a version, or "".
        created: when, ISO 8601 in UTC.
        files: every file but the metadata itself.
        left_out: files of the source that were not taken.
    """

    version: str
    source: str
    revision: str
    created: str
    files: Mapping[str, Fact]
    left_out: tuple[str, ...] = field(default=())

    @property
    def text(self) -> str:
        """It as it is written."""
        files = {
            path: {"size": fact.size, "sha256": fact.digest.removeprefix("sha256:")}
            for path, fact in sorted(self.files.items())
        }
        said = {
            "format": FORMAT,
            "version": self.version,
            "source": self.source,
            "revision": self.revision,
            "created": self.created,
            "left_out": list(self.left_out),
            "files": files,
        }
        return json.dumps(said, indent=2, ensure_ascii=False) + "\n"


def read(folder: Path) -> Metadata | None:
    """Read the metadata of a folder; None where there is none, or another program's.

    Raises:
        Corrupt: it is Herdbook's and cannot be read.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    if path.stat().st_size > JSON_BYTES_LIMIT:
        raise Corrupt(f"{path} is too large to be Herdbook's; restore the folder")
    data = path.read_bytes()
    try:
        said = json_value(data, of=str(path))
        return _read(said) if said.get("format") == FORMAT else None
    except (Invalid, KeyError, TypeError, AttributeError) as error:
        if FORMAT.encode() not in data:
            return None
        raise Corrupt(f"{path} cannot be read: {error}; restore the folder") from None


def verify(folder: Path, metadata: Metadata, known: Mapping[str, Fact]) -> None:
    """Compare every file with what the metadata says.

    Args:
        folder: where the files are.
        metadata: what they should be.
        known: what they are, as far as somebody read them already.

    Raises:
        Corrupt: a file is missing, one is too many, or one is changed.
    """
    refuse_others(folder, {**metadata.files, NAME: None}, by=NAME)
    for path, fact in metadata.files.items():
        if known.get(path) != fact:
            refuse_changed(folder, path, fact, by=NAME)


def _read(said: Mapping[str, Any]) -> Metadata:
    return Metadata(
        version=str(said["version"]),
        source=str(said["source"]),
        revision=str(said["revision"]),
        created=str(said["created"]),
        left_out=tuple(map(str, said.get("left_out", ()))),
        files={
            file_path(path): Fact(int(one["size"]), blob_digest(f"sha256:{one['sha256']}"))
            for path, one in said["files"].items()
        },
    )
