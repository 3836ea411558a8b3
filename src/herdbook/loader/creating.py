"""Making a folder of a model that needs nothing but itself: `artifacts/model-v1`."""

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from herdbook.core.artifacts import FILES_LIMIT, file_path
from herdbook.errors import AlreadyExists, Corrupt, Invalid, Unavailable
from herdbook.loader import metadata
from herdbook.loader.files import Fact
from herdbook.loader.finding import Found, find
from herdbook.loader.information import LABELS_FILE, agreed, checked_labels, labels_of
from herdbook.loader.inspecting import Inside
from herdbook.loader.metadata import Metadata
from herdbook.settings import Settings
from herdbook.storage.blobs.files import Source, disk_errors, sync_folder
from herdbook.storage.blobs.passing import Fingerprint

_VERSION: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?\Z")


def create_model_artifact(
    source: str | None = None,
    version: str = "",
    *,
    to: str | os.PathLike[str] = "artifacts",
    labels: Sequence[str] = (),
    settings: Settings | None = None,
) -> Path:
    """Make a folder `model-<version>` of what a reference names, whole or not at all.

    `artifact_metadata.json` in it says where it came from and what the SHA-256 of every file is,
    so that whoever loads the folder, or a copy of it, gets these bytes or an error.

    Args:
        source: such as `hf:deepset/gbert-base`; left out, what `ML_MODEL_REF` names.
        version: what to call it: `v1`, `v1.1`, `experimental`.
        to: the folder to make it in.
        labels: of a classifier, by the index of its outputs; written to `labels.txt`.
        settings: instead of those of the environment.

    Returns:
        The folder; `local:` and its path is the reference to it.

    Raises:
        Invalid: the version cannot be part of a name, or the labels do not fit the model.
        AlreadyExists: there is such a folder.
        HerdbookError: what `find` raises.
    """
    if not _VERSION.match(version):
        raise Invalid(
            f"the version is {version!r:.60}; write letters, digits and . _ - such as v1 or v1.1",
            field="version",
        )
    folder = Path(to).absolute() / f"model-{version}"
    _refuse_taken(folder)
    found = find(source, settings=settings)
    _refuse_unfit(found, list(labels))
    with disk_errors(f"write in {folder.parent}"):
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _fill(draft, found, version=version, labels=list(labels))
        _publish(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def _fill(draft: Path, found: Found, *, version: str, labels: list[str]) -> None:
    files = {}
    for path, expected in found.files.items():
        if path != metadata.NAME and not (labels and path == LABELS_FILE):
            files[path] = _copied(found, path, expected, draft / file_path(path))
    if labels:
        text = "".join(f"{label}\n" for label in labels)
        files[LABELS_FILE] = _written(draft / LABELS_FILE, text.encode())
    said = Metadata(
        version=version,
        source=str(found.ref),
        revision=found.revision,
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        files=files,
        left_out=found.left_out,
    )
    _written(draft / metadata.NAME, said.text.encode())


def _copied(found: Found, path: str, expected: Fact, to: Path) -> Fact:
    passed = Fingerprint()
    with Source(found.folder / path) as source, disk_errors(f"write {to}"):
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("xb") as file:
            for chunk in source.chunks():
                passed.add(chunk)
                file.write(chunk)
            _make_durable(file.fileno())
    if expected.digest and expected != Fact(passed.size, passed.digest):
        raise Corrupt(
            f"{found.folder / path} changed after it was verified: it has {passed.digest}, not "
            f"{expected.digest}; nothing was made"
        )
    return Fact(passed.size, passed.digest)


def _written(to: Path, data: bytes) -> Fact:
    with disk_errors(f"write {to}"), to.open("xb") as file:
        file.write(data)
        file.flush()
        _make_durable(file.fileno())
    passed = Fingerprint.of([data])
    return Fact(passed.size, passed.digest)


def _make_durable(fd: int) -> None:
    os.fchmod(fd, 0o444)
    os.fsync(fd)


def _publish(draft: Path, folder: Path) -> None:
    with disk_errors(f"write {folder}"):
        for place, _, _ in os.walk(draft):
            Path(place).chmod(0o755)
            sync_folder(Path(place))
    try:
        draft.rename(folder)
    except OSError as error:
        _refuse_taken(folder)
        raise Unavailable(f"cannot write {folder}: {error.strerror}; try again") from error
    sync_folder(folder.parent)


def _refuse_taken(folder: Path) -> None:
    if os.path.lexists(folder):
        raise AlreadyExists(
            f"{folder} is there already, and an artifact does not change; choose another version",
            field="version",
        )


def _refuse_unfit(found: Found, labels: list[str]) -> None:
    """Refuse labels that do not go with the model, and files that cannot be part of an artifact."""
    if len(found.files) >= FILES_LIMIT:
        raise Invalid(f"{found.ref} holds over {FILES_LIMIT:,} files", field="source")
    if labels:
        agreed(checked_labels(labels, of="labels"), Inside(found))
    else:
        labels_of(Inside(found))
