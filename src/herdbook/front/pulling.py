"""From a reference to a folder with its files: through the cache, or into a folder of its own."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from herdbook.core.artifacts import Artifact, Files, Manifest, Signature, Signatures
from herdbook.core.blobs import How, Said, silent
from herdbook.core.numbers import Number
from herdbook.core.refs import version_ref
from herdbook.errors import (
    AlreadyExists,
    Corrupt,
    HerdbookError,
    Invalid,
    NotFound,
    Unavailable,
    Unreachable,
)
from herdbook.front.door import Door
from herdbook.front.folders import found_in, hashed
from herdbook.storage.cache import Cache

AT_ONCE: Final = 4

Trust = Callable[[Manifest, tuple[Signature, ...]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """Where the files of a version are now.

    Args:
        path: the folder.
        manifest: the digest of what is in it.
        size: its bytes.
        how: how many files were linked, cloned, copied, or there already.
    """

    path: Path
    manifest: str
    size: int
    how: Mapping[str, int]


def _is_filled(path: Path, manifest: Manifest) -> bool:
    """Whether a folder holds exactly the files of a version already.

    Raises:
        AlreadyExists: something else is there.
    """
    if not os.path.lexists(path):
        return False
    if path.is_dir() and not path.is_symlink():
        if not any(path.iterdir()):
            return False
        with suppress(HerdbookError):
            found = {file.path: hashed(file.place) for file in found_in(path)}
            if found == {file.path: (file.digest, file.size) for file in manifest.files}:
                return True
    raise AlreadyExists(
        f"{path} is there already, and holds something else; give a folder to be made", field="to"
    )


@dataclass(frozen=True, slots=True)
class _Way:
    """How files come to a folder: from what is in the cache, or from the register."""

    held: Path | None
    how: Counter[str]
    said: Said
    link: bool = True


def files_of(door: Door, ref: str) -> Files:
    """Give the files of a version, their manifest recomputed.

    Raises:
        Corrupt: they are not those of its digest, or of another version than was asked for.
    """
    found = door.call(Files, "artifacts.files", ref=ref)
    asked, given = version_ref(ref), version_ref(found.ref)
    other = asked.number and Number(given.number) != Number(asked.number)
    if other or given.model != asked.model:
        raise Corrupt(f"{door.address} was asked for {ref} and gave {found.ref}")
    try:
        found.whole()
    except Invalid as wrong:
        raise Corrupt(f"{found.ref} cannot have such files: {wrong.message}") from None
    return found


class Pulling:
    """Gives folders with the files of versions.

    Args:
        door: the register.
        cache: what was pulled to this machine, or None.
        offline: whether a register or a store that is reached by a network may not be asked.
    """

    def __init__(self, door: Door, cache: Cache | None, *, offline: bool) -> None:
        self._door = door
        self._held = cache
        self._offline = offline

    @property
    def cache(self) -> Cache:
        """What was pulled to this machine.

        Raises:
            Invalid: the register was opened without one.
        """
        if self._held is None:
            raise Invalid("this register was opened without a cache; give a folder to pull to")
        return self._held

    @property
    def is_alone(self) -> bool:
        """Whether the register is one that may not be asked."""
        return self._offline

    def pulled(
        self,
        ref: str,
        to: str | os.PathLike[str] | None,
        *,
        link: bool | None,
        trust: Trust | None,
        said: Said,
    ) -> Pulled:
        """Give a folder, see `Artifacts.pull`."""
        manifest, version = self._meant(ref)
        if trust is not None:
            self._trusted(manifest, version, trust)
        how: Counter[str] = Counter()
        if to is None:
            path = self._cached(manifest, how, said)
            # Last: a record of what is not there would be swept away.
            self.cache.remember(self._door.address, ref, manifest, version)
        else:
            path = Path(to)
            if not _is_filled(path, manifest):
                held = self._held.present(manifest.digest) if self._held else None
                # Root writes into what is read-only, and so into the store.
                linked = os.geteuid() != 0 if link is None else link
                self._filled(manifest, path, _Way(held, how, said, link=linked))
        there = {} if how else {str(How.THERE): len(manifest.files)}
        return Pulled(path=path, manifest=manifest.digest, size=manifest.size, how=how | there)

    def _trusted(self, manifest: Manifest, version: str, trust: Trust) -> None:
        if self.is_alone:
            raise Invalid(
                "HERDBOOK_OFFLINE=1 forbids to ask for signatures; they were checked when it was "
                "pulled, if that was asked for then",
                field="trust",
            )
        signed = self._door.call(Signatures, "artifacts.signatures", ref=version)
        trust(manifest, signed.signatures)

    def _meant(self, ref: str) -> tuple[Manifest, str]:
        """Give the manifest of what a reference means now, and the version it is."""
        register = self._door.address
        if self.is_alone:
            known = self.cache.recall(register, ref)
            if known is None:
                raise NotFound(
                    f"{ref} was never pulled from {register} on this machine, and "
                    "HERDBOOK_OFFLINE=1 forbids to ask; pull it once with the network there",
                    field="ref",
                )
            return known[0], known[1]
        try:
            found = files_of(self._door, ref)
        except (Unreachable, Unavailable) as error:
            if register.startswith("http") and self.cache.recall(register, ref):
                raise type(error)(
                    f"{error}. {ref} was pulled here before: HERDBOOK_OFFLINE=1 gives that without "
                    "asking"
                ) from None
            raise
        return found.whole(), found.ref

    def _cached(self, manifest: Manifest, how: Counter[str], said: Said) -> Path:
        def fetch(file: Artifact, path: Path) -> How:
            if self.is_alone:
                raise NotFound(
                    f"{file.path} is not in the cache of this machine, and HERDBOOK_OFFLINE=1 "
                    "forbids to fetch it",
                    field="ref",
                )
            came = self._fetched(file, path)
            how[came] += 1
            return came

        return self.cache.snapshot(manifest, fetch, said=said)

    def _filled(self, manifest: Manifest, target: Path, way: "_Way") -> None:
        """Make the folder beside its place, and move it there when it is whole."""
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        except OSError as error:
            raise Unavailable(f"cannot write in {target.parent}: {error.strerror}") from error
        try:
            for folder in {(beside / file.path).parent for file in manifest.files}:
                folder.mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="herdbook") as pool:
                put = partial(self._put, beside, way)
                way.how.update(pool.map(put, manifest.files))
            beside.chmod(0o755)
            beside.rename(target)
        except OSError as error:
            raise Unavailable(f"cannot write {target}: {error.strerror}; try again") from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def _put(self, folder: Path, way: "_Way", file: Artifact) -> str:
        path = folder / file.path
        if way.held is not None and way.link:
            try:
                os.link(way.held / file.path, path)
            except OSError:
                return self._fetched(file, path, link=way.link, said=way.said)
            way.said(file.size)
            return How.LINKED
        return self._fetched(file, path, link=way.link, said=way.said)

    def _fetched(
        self, file: Artifact, path: Path, *, link: bool = True, said: Said = silent
    ) -> How:
        try:
            return self._door.fetch(file, path, link=link, said=said)
        except Corrupt as error:
            raise Corrupt(
                f"{file.path} is damaged where it is kept, and was not given: {error}. "
                "`herdbook artifacts verify --read-data` names the versions it belongs to"
            ) from None
