"""Repositories of the Hugging Face hub, whole and compared with the hub's own digests.

The hub's client compares sizes only. Here every file is read once more: against the SHA-256 the
hub's tree names for large files, against git's digest for small ones.
"""

import contextlib
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

from herdbook.core.artifacts import FILES_LIMIT, file_path
from herdbook.core.extras import needs
from herdbook.core.refs import ModelRef
from herdbook.errors import (
    Corrupt,
    Forbidden,
    HerdbookError,
    Invalid,
    NotFound,
    Unauthenticated,
    Unavailable,
    Unreachable,
)
from herdbook.loader.snapshots import Snapshot, Snapshots
from herdbook.storage.blobs.files import Source

_COMMIT: Final = re.compile(r"[0-9a-f]{40}\Z")
_PICKLED: Final = (".bin", ".pt", ".pth", ".ckpt", ".bin.index.json")
_OTHER_WEIGHTS: Final = ("tf_model.", "flax_model.", "rust_model.")
_BOOKKEEPING: Final = ".cache"  # the client's own, in the folder it fills


@dataclass(frozen=True, slots=True)
class _Listed:
    """A file as the hub's tree has it."""

    path: str
    size: int
    sha256: str
    git: str


def kept(ref: ModelRef, folder: Path) -> tuple[str, Snapshot | None]:
    """Give the commit a reference last stood for and what is here of it; makes no connection."""
    snapshots = _snapshots(ref, folder)
    commit = _commit(ref) or snapshots.noted(ref.revision or "HEAD")
    return commit, snapshots.present(commit) if commit else None


def fetched(ref: ModelRef, folder: Path) -> tuple[str, Snapshot]:
    """Give the commit a reference stands for now and its files, fetched unless they are here.

    Args:
        ref: a repository, perhaps at a revision; a commit that is here needs no connection.
        folder: where snapshots are kept.

    Raises:
        NotFound: there is no such repository or revision.
        Unauthenticated, Forbidden: not for this token, or not for this user.
        Unreachable, Unavailable: the hub does not answer, or not properly.
        Corrupt: what arrived are not the files of the tree.
        MissingExtra: huggingface_hub is not installed.
    """
    snapshots = _snapshots(ref, folder)
    there = snapshots.present(_commit(ref)) if _commit(ref) else None
    if there:
        return _commit(ref), there
    hub = _Hub(ref)
    commit = _commit(ref) or hub.commit()
    found = snapshots.made(commit, lambda draft: hub.fill(draft, commit))
    snapshots.note(ref.revision or "HEAD", commit)
    return commit, found


def _snapshots(ref: ModelRef, folder: Path) -> Snapshots:
    return Snapshots(folder / "hub" / ref.repo.replace("/", "--"))


def _commit(ref: ModelRef) -> str:
    return ref.revision if _COMMIT.match(ref.revision) else ""


class _Hub:
    """What is asked of the hub about one reference."""

    def __init__(self, ref: ModelRef) -> None:
        with needs("hub", "huggingface_hub", what="hf: references"):
            import huggingface_hub.constants  # its attributes are there once imported
        self._ref = ref
        self._hub = huggingface_hub
        self._endpoint = os.environ.get("HF_ENDPOINT") or huggingface_hub.constants.ENDPOINT
        self._api = huggingface_hub.HfApi(endpoint=self._endpoint)

    def commit(self) -> str:
        """Ask which commit the revision is now."""
        with self._errors():
            found = self._api.model_info(self._ref.repo, revision=self._ref.revision or None).sha
        if not found or not _COMMIT.match(found):
            raise Unavailable(f"{self._ref}: {self._endpoint} names no commit; try again")
        return found

    def fill(self, draft: Path, commit: str) -> tuple[str, ...]:
        """Put the files of a commit into a folder and check them; give what was left out."""
        with self._errors():
            tree = self._tree(commit)
        wanted, left_out = _chosen(tree)
        if not wanted:
            raise NotFound(f"{self._ref} holds no file at {commit}", field="ref")
        with self._errors():
            self._hub.snapshot_download(
                self._ref.repo,
                revision=commit,
                local_dir=draft,
                endpoint=self._endpoint,
                allow_patterns=[_literally(one.path) for one in wanted],
                tqdm_class=_quiet() if not sys.stderr.isatty() else None,
            )
        shutil.rmtree(draft / _BOOKKEEPING, ignore_errors=True)
        for one in wanted:
            self._compare(draft / one.path, one)
        _drop_others(draft, {one.path for one in wanted})
        return left_out

    def _tree(self, commit: str) -> list[_Listed]:
        found: list[_Listed] = []
        for one in self._api.list_repo_tree(self._ref.repo, recursive=True, revision=commit):
            if not isinstance(one, self._hub.hf_api.RepoFile):
                continue
            if len(found) == FILES_LIMIT:
                raise Invalid(f"{self._ref} has more than {FILES_LIMIT:,} files", field="ref")
            sha256 = one.lfs.sha256 if one.lfs else ""
            found.append(_Listed(file_path(one.path), one.size, sha256, one.blob_id))
        return found

    def _compare(self, path: Path, listed: _Listed) -> None:
        digest = hashlib.sha256() if listed.sha256 else hashlib.sha1(usedforsecurity=False)
        if not listed.sha256:
            digest.update(b"blob %d\0" % listed.size)  # as git names what it keeps
        size = 0
        try:
            with Source(path) as source:
                for chunk in source.chunks():
                    digest.update(chunk)
                    size += len(chunk)
        except NotFound:
            raise Unavailable(f"{self._ref}: {listed.path} did not arrive; try again") from None
        if size != listed.size or digest.hexdigest() != (listed.sha256 or listed.git):
            path.unlink()
            raise Corrupt(
                f"{self._ref}: what arrived as {listed.path} is not the file of the hub's tree "
                f"({size:,} bytes where {listed.size:,} are listed, or another digest); try again"
            )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        import httpx2

        try:
            yield
        except HerdbookError:
            raise
        except (httpx2.HTTPError, OSError, RuntimeError) as error:
            raise self._meant(error) from error

    def _meant(self, error: Exception) -> HerdbookError:
        """Give what a failure of the client comes to."""
        import httpx2

        errors = self._hub.errors
        if isinstance(error, errors.HfHubHTTPError):
            return self._answered(error)
        if isinstance(error, errors.OfflineModeIsEnabled):
            return Unreachable(f"{self._ref}: HF_HUB_OFFLINE forbids asking the hub; unset it")
        lost = (httpx2.HTTPError, ConnectionError, errors.LocalEntryNotFoundError)
        if isinstance(error, lost):
            return Unreachable(f"{self._ref}: {self._endpoint} does not answer; try again")
        return Unavailable(
            f"{self._ref}: it was not fetched to the end: {str(error)[:300]}; try again"
        )

    def _answered(self, error: Any) -> HerdbookError:
        """Give what an answer of the hub comes to."""
        errors, status = self._hub.errors, error.response.status_code
        if isinstance(error, errors.GatedRepoError):
            return Forbidden(
                f"{self._ref}: its owner asks for consent; give it on the hub, and a token as "
                "HF_TOKEN"
            )
        if isinstance(error, errors.RepositoryNotFoundError):
            return NotFound(
                f"{self._ref}: {self._endpoint} shows no such repository; a private one needs a "
                "token as HF_TOKEN",
                field="ref",
            )
        if isinstance(error, errors.RevisionNotFoundError):
            revision = self._ref.revision or "main"
            return NotFound(f"{self._ref}: there is no revision {revision}", field="ref")
        by_status = {401: Unauthenticated, 403: Forbidden}
        if status in by_status:
            return by_status[status](f"{self._ref}: not for this token; set another as HF_TOKEN")
        return Unavailable(f"{self._ref}: {self._endpoint} answered {status}; try again")


def _chosen(tree: Iterable[_Listed]) -> tuple[list[_Listed], tuple[str, ...]]:
    """Leave out weights that lie beside the same ones in safetensors."""
    files = list(tree)
    safe = {_folder(one.path) for one in files if one.path.endswith(".safetensors")}
    left_out = {one.path for one in files if _folder(one.path) in safe and _is_other(one.path)}
    return [one for one in files if one.path not in left_out], tuple(sorted(left_out))


def _is_other(path: str) -> bool:
    return path.endswith(_PICKLED) or PurePosixPath(path).name.startswith(_OTHER_WEIGHTS)


def _folder(path: str) -> str:
    return str(PurePosixPath(path).parent)


def _literally(path: str) -> str:
    return path.replace("[", "[[]")


def _drop_others(draft: Path, wanted: set[str]) -> None:
    """Remove what a try before left, when the choice was another."""
    from herdbook.loader.files import walk

    for path in list(walk(draft)):
        if path not in wanted:
            (draft / path).unlink()


def _quiet() -> Any:
    from tqdm import tqdm

    class Quiet(tqdm):  # type: ignore[misc,type-arg,unused-ignore]
        """Shows nothing where nobody looks."""

        def __init__(self, *args: Any, **settings: Any) -> None:
            settings.pop("name", None)
            super().__init__(*args, **{**settings, "disable": True})

    return Quiet
