"""One function turns a reference into a folder of verified files, or says what is missing."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from herdbook.core.refs import HERDBOOK, ModelRef
from herdbook.errors import Invalid, NotFound
from herdbook.loader import buckets, hub, metadata
from herdbook.loader.files import Fact, sizes
from herdbook.loader.snapshots import Snapshot
from herdbook.settings import Settings
from herdbook.storage.blobs.files import disk_errors

OUTSIDE: Final = "outside"  # in the cache's folder, beside what the register's versions are in
_OTHERS_WRITE: Final = 0o022


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The folder of a model.

    Args:
        ref: the reference, written in full.
        folder: where its files are.
        revision: what the reference stood for: a version, a commit, the state of a bucket, or "".
        verified: whether every file was compared with a digest. A folder of one's own that has no
            `artifact_metadata.json` of Herdbook has nothing to be compared with.
        files: what is in it, by path.
        left_out: files of the source that were not fetched.
    """

    ref: ModelRef
    folder: Path
    revision: str = ""
    verified: bool = False
    files: Mapping[str, Fact] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(fact.size for fact in self.files.values())


def chosen(ref: str | None, settings: Settings) -> ModelRef:
    """Take a reference, or the one the settings name.

    Raises:
        Invalid: there is none, or it cannot be read.
    """
    text = settings.model_ref if ref is None else ref
    if not text:
        raise Invalid(
            "no model is named: give a reference such as local:artifacts/model-v1, or set "
            "ML_MODEL_REF",
            field="ref",
        )
    return ModelRef.parse(text)


def find(ref: str | None = None, *, settings: Settings | None = None, fetch: bool = True) -> Found:
    """Turn a reference into a folder of verified files.

    Args:
        ref: such as `herdbook:majora@champion`; left out, what `ML_MODEL_REF` names.
        settings: instead of those of the environment.
        fetch: whether what is not on this machine is fetched.

    Raises:
        Invalid: it is no reference.
        NotFound: there is nothing, or it is not here and may not be fetched.
        Corrupt: the files are not those that were meant.
        HerdbookError: the place it is in does not answer, or not to this user.
    """
    settings = settings or Settings.load()
    place = chosen(ref, settings)
    if place.scheme == "local":
        return _checked(Found(ref=place, folder=_folder(place)))
    if place.scheme == HERDBOOK:
        return _registered(place, settings, fetch=fetch)
    return _checked(_outside(place, settings, fetch=fetch and not settings.offline))


def _folder(place: ModelRef) -> Path:
    # Resolved once: a link that is switched meanwhile must not give half of another model.
    folder = Path(place.path).resolve()
    if not folder.is_dir():
        kind = "is not a folder" if folder.exists() else "is not there"
        raise NotFound(
            f"{place}: {folder} {kind}; `herdbook artifacts create --from REF --version v1` makes "
            "one",
            field="ref",
        )
    return folder


def _registered(place: ModelRef, settings: Settings, *, fetch: bool) -> Found:
    if place.version is None:  # ModelRef does not let it be
        raise Invalid(f"{place} names no version", field="ref")
    from herdbook.loader import register  # it waits for SQLAlchemy, which other places do not need

    if fetch:
        version, folder, files = register.fetched(place.version, settings)
    else:
        version, kept, files = register.kept(place.version, settings)
        folder = kept or _not_here(place, settings)
    return Found(ref=place, folder=folder, revision=version, verified=True, files=files)


def _outside(place: ModelRef, settings: Settings, *, fetch: bool) -> Found:
    at = hub if place.scheme == "hf" else buckets
    folder = _own_folder(settings.cache, make=fetch)
    revision, found = at.fetched(place, folder) if fetch else at.kept(place, folder)
    if found is None:
        _not_here(place, settings)
    return _of_snapshot(place, revision, found)


def _own_folder(cache: Path, *, make: bool) -> Path:
    """Give the folder of what was fetched, which nobody else may write in.

    Raises:
        Invalid: somebody else may, and could have put other models there.
    """
    folder = cache / OUTSIDE
    if make:
        with disk_errors(f"write in {cache}"):
            cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return folder
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {0, os.geteuid()}:
        raise Invalid(f"{folder} is not a folder of this user; set HERDBOOK_CACHE", field="cache")
    if stat.S_IMODE(found.st_mode) & _OTHERS_WRITE:
        raise Invalid(
            f"others may write in {folder} and could have changed models in it; remove it, or "
            "chmod 700 it if you trust them",
            field="cache",
        )
    return folder


def _of_snapshot(place: ModelRef, revision: str, found: Snapshot) -> Found:
    return Found(
        ref=place,
        folder=found.folder,
        revision=revision,
        verified=True,
        files=found.files,
        left_out=found.left_out,
    )


def _not_here(place: ModelRef, settings: Settings) -> NoReturn:
    where = ", where there is a network: HERDBOOK_OFFLINE=1 forbids it here" * settings.offline
    raise NotFound(
        f"{place} is not in the cache at {settings.cache}; `herdbook artifacts download {place}` "
        f"fetches it{where}",
        field="ref",
    )


def _checked(found: Found) -> Found:
    """Compare a folder with its own metadata, where it has such."""
    said = metadata.read(found.folder)
    if said is None:
        return found if found.files else _unread(found)
    metadata.verify(found.folder, said, found.files)
    size = (found.folder / metadata.NAME).stat().st_size
    return Found(
        ref=found.ref,
        folder=found.folder,
        revision=found.revision or said.revision,
        verified=True,
        files={**said.files, metadata.NAME: Fact(size)},
        left_out=found.left_out or said.left_out,
    )


def _unread(found: Found) -> Found:
    files = sizes(found.folder)
    if not files:
        raise NotFound(f"{found.ref}: {found.folder} holds no file", field="ref")
    return Found(ref=found.ref, folder=found.folder, files=files)
