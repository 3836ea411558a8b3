"""Folders in buckets: S3, Google Cloud Storage, Azure, through obstore."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from herdbook.core.artifacts import FILES_LIMIT, digest_of, file_path
from herdbook.core.extras import needs
from herdbook.core.refs import ModelRef
from herdbook.errors import Corrupt, Invalid, NotFound, Unavailable
from herdbook.loader.snapshots import Snapshot, Snapshots
from herdbook.storage.blobs.files import disk_errors

_PART: Final = 8 << 20
_PLAIN_HTTP: Final = ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP", "GOOGLE_ALLOW_HTTP")


@dataclass(frozen=True, slots=True)
class _Object:
    """An object as the bucket lists it."""

    key: str
    path: str
    size: int
    tag: str


def kept(ref: ModelRef, folder: Path) -> tuple[str, Snapshot | None]:
    """Give what was last fetched from a place, and its name; makes no connection."""
    snapshots = _snapshots(ref, folder)
    name = snapshots.noted(str(ref))
    return name, snapshots.present(name) if name else None


def fetched(ref: ModelRef, folder: Path) -> tuple[str, Snapshot]:
    """Give what lies at a place now, fetched unless it is here; the name changes with any object.

    Raises:
        NotFound: no object has a key that begins so.
        Invalid: an object's key cannot be the path of a file.
        Unavailable: the bucket does not answer, or objects changed while they were fetched.
        Corrupt: other bytes arrived than were listed.
        MissingExtra: obstore is not installed.
    """
    bucket = _Bucket(ref)
    listed = bucket.listed()
    name = _name(listed)
    snapshots = _snapshots(ref, folder)
    found = snapshots.made(name, lambda draft: bucket.fill(draft, listed))
    snapshots.note(str(ref), name)
    return name, found


def _snapshots(ref: ModelRef, folder: Path) -> Snapshots:
    place = digest_of(str(ref).encode()).removeprefix("sha256:")[:32]
    return Snapshots(folder / "buckets" / ref.scheme / ref.bucket / place)


def _name(listed: list[_Object]) -> str:
    said = [[one.path, one.size, one.tag] for one in listed]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:40]


class _Bucket:
    """What is asked of one bucket."""

    def __init__(self, ref: ModelRef) -> None:
        with needs("objects", "obstore", what=f"{ref.scheme}: references"):
            import obstore
            from obstore.store import from_url
        self._ref = ref
        self._obstore = obstore
        try:
            self._store = from_url(
                f"{ref.scheme}://{ref.bucket}",
                client_options=_client(),
                retry_config={"max_retries": 5, "retry_timeout": timedelta(seconds=180)},
            )
        except (obstore.exceptions.BaseError, ValueError):
            raise Invalid(
                f"{ref} cannot be opened: look for the settings of the bucket in the environment, "
                "such as AWS_REGION or AZURE_STORAGE_ACCOUNT_NAME",
                field="ref",
            ) from None

    def listed(self) -> list[_Object]:
        """Give what lies there, by path."""
        prefix = f"{self._ref.path}/"
        found: list[_Object] = []
        with self._errors():
            for batch in self._obstore.list(self._store, prefix, chunk_size=1_000):
                found += [_listed(one, prefix) for one in batch if not one["path"].endswith("/")]
                if len(found) > FILES_LIMIT:
                    raise Invalid(f"{self._ref} holds over {FILES_LIMIT:,} objects", field="ref")
        if not found:
            raise NotFound(f"{self._ref}: no object has a key that begins so", field="ref")
        return sorted(found, key=lambda one: one.path)

    def fill(self, draft: Path, listed: list[_Object]) -> tuple[str, ...]:
        """Fetch every object."""
        for one in listed:
            at = draft / one.path
            with disk_errors(f"write {at}"):
                at.parent.mkdir(parents=True, exist_ok=True)
                at.unlink(missing_ok=True)
            self._fetch(one, at)
        return ()

    def _fetch(self, one: _Object, at: Path) -> None:
        with self._errors():
            answer = self._obstore.get(self._store, one.key)
            if (answer.meta["e_tag"] or "") != one.tag or answer.meta["size"] != one.size:
                raise Unavailable(f"{self._ref}: {one.path} changed meanwhile; try again")
            size = 0
            with disk_errors(f"write {at}"), at.open("xb") as file:
                for chunk in self._chunks(answer):
                    size += file.write(chunk)
        if size != one.size:
            raise Corrupt(f"{self._ref}: {one.path} ended at {size:,} of {one.size:,} bytes")

    def _chunks(self, answer: Any) -> Iterator[bytes]:
        chunks = iter(answer.stream(min_chunk_size=_PART))
        while True:
            with self._errors():  # not to be taken for an error of the disk
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield bytes(chunk)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise NotFound(f"{self._ref}: there is no such bucket or object", field="ref") from None
        except (self._obstore.exceptions.BaseError, OSError) as error:
            # Not with its own words: they may hold what was signed.
            refused = type(error).__name__ in {"PermissionDeniedError", "UnauthenticatedError"}
            why = "refuses these credentials" if refused else "does not answer to the end"
            raise Unavailable(
                f"{self._ref}: the bucket {why}; look at the credentials and the endpoint in the "
                "environment and try again"
            ) from None


def _listed(found: Any, prefix: str) -> _Object:
    path = str(found["path"]).removeprefix(prefix)
    return _Object(found["path"], file_path(path), found["size"], found["e_tag"] or "")


def _client() -> Any:
    plain = any(os.environ.get(name, "").lower() in {"1", "true"} for name in _PLAIN_HTTP)
    return {
        "timeout": timedelta(seconds=60),
        "connect_timeout": timedelta(seconds=5),
        "allow_http": plain,
    }
