"""`book.artifacts`: the bytes of versions, in and out."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

from herdbook.core.artifacts import Artifact, Files, Manifest, Missing, Signatures
from herdbook.core.blobs import Said, silent
from herdbook.core.contents import Changes, Inside
from herdbook.core.housekeeping import Collected, Verified
from herdbook.core.models import Version
from herdbook.core.names import model_name
from herdbook.errors import AlreadyExists, Corrupt, Gone, HerdbookError, NotFound
from herdbook.front.door import Door
from herdbook.front.folders import Found, found_in, hashed
from herdbook.front.models import Registration, draft
from herdbook.front.pulling import AT_ONCE, Pulled, Pulling, Trust, files_of
from herdbook.services.versions import Draft
from herdbook.storage.cache import Cache

if TYPE_CHECKING:
    from herdbook.front.bundling import Carried
    from herdbook.front.staging import Source
    from herdbook.storage.bundles import Written
    from herdbook.storage.slots import Slots, Staged

Sign = Callable[[Manifest], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What a push did, or would do.

    Args:
        version: what was registered; None in a dry run.
        manifest: the digest of the files' manifest.
        files: how many files.
        size: their bytes.
        new_files: how many of them the store did not have.
        new_bytes: the bytes of those.
        warnings: what the model's file policy `warn` says of the files.
    """

    version: Version | None
    manifest: str
    files: int
    size: int
    new_files: int
    new_bytes: int
    warnings: tuple[str, ...] = ()


class Artifacts:
    """The bytes of versions."""

    def __init__(self, door: Door, cache: Cache | None, *, offline: bool = False) -> None:
        self._door = door
        self._pulling = Pulling(door, cache, offline=offline)

    # --- in ---

    def push(
        self,
        model: str,
        number: str = "",
        *,
        path: str | os.PathLike[str],
        roles: Mapping[str, str] | None = None,
        sign: Sign | None = None,
        said: Said = silent,
        **facts: Unpack[Registration],
    ) -> Pushed:
        """Store the files of a folder and register them as a version.

        What the store has already is not sent again. Interrupted, nothing is registered, and the
        next push sends what is missing.

        Args:
            model: the model's name.
            number: such as `v1`; left out, the next in the model's own style.
            path: the folder, or a single file.
            roles: path within the folder to role, where the name does not tell it.
            sign: gives the signature of the manifest, kept with the version.
            said: told the bytes as they go, from whatever thread moves them.
            facts: as for `models.register`.

        Raises:
            Invalid: a file cannot be part of a version; the message names it.
            AlreadyExists: the number is taken.
        """
        said_of_it = draft(number, **facts)
        found = found_in(Path(path), roles=roles)
        self._refuse_early(model, number, said_of_it)
        files, new = self._sent(found, said)
        # A key that does not open must not be found out after the version is there.
        manifest = Manifest(files)
        signature = sign(manifest) if sign is not None else ""
        version = self._door.call(
            Version, "versions.register", model=model, draft=replace(said_of_it, artifacts=files)
        )
        if signature:
            self._signed(version.ref, signature)
        return _pushed(version, manifest, new)

    def _signed(self, ref: str, signature: str) -> None:
        try:
            self.sign(ref, signature)
        except HerdbookError as error:
            error.message = (
                f"{ref} is registered, but not signed: {error.message}. Sign it with "
                f"`herdbook artifacts sign {ref} --key KEY`"
            )
            raise

    def _refuse_early(self, model: str, number: str, said: Draft) -> None:
        """Find out before the first byte moves what registering would refuse after the last."""
        model_name(model)
        for parent in said.parents:
            self._door.call(Version, "versions.get", ref=parent)
        if not number:
            return
        try:
            there = self._door.call(Version, "versions.get", ref=f"{model}:{number}")
        except Gone:
            raise
        except NotFound:
            return
        raise AlreadyExists(
            f"{there.ref} is registered already, and a version never changes; leave the number out "
            "for the next",
            field="number",
        )

    def _sent(self, found: list[Found], said: Said) -> tuple[tuple[Artifact, ...], dict[str, int]]:
        # Refused before the first byte moves, if the paths do not go together.
        Manifest(tuple(_artifact(file, _NO_DIGEST, file.size) for file in found))
        stored = list(self._door.send([file.place for file in found], said=said))
        pairs = list(zip(found, stored, strict=True))
        files = tuple(_artifact(file, each.digest, each.size) for file, each in pairs)
        return files, {each.digest: each.size for each in stored if each.new}

    def plan(
        self,
        path: str | os.PathLike[str],
        *,
        roles: Mapping[str, str] | None = None,
    ) -> Pushed:
        """Tell what a push would send, without sending it."""
        found = found_in(Path(path), roles=roles)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            pairs = list(zip(found, pool.map(hashed, (file.place for file in found)), strict=True))
        files = tuple(_artifact(file, digest, size) for file, (digest, size) in pairs)
        digests = list(dict.fromkeys(file.digest for file in files))
        lacking = self._door.call(Missing, "artifacts.missing", digests=digests).digests
        return _pushed(
            None, Manifest(files), {f.digest: f.size for f in files if f.digest in lacking}
        )

    # --- out ---

    def files(self, ref: str) -> Files:
        """Give the files of a version; the manifest is recomputed from them.

        Raises:
            Corrupt: they are not those of its digest, or of another version than was asked for.
        """
        return files_of(self._door, ref)

    def known_size(self, ref: str) -> int:
        """Give how many bytes a pull moves at most; 0 where that cannot be asked now."""
        if self._pulling.is_alone:
            return 0
        return self.files(ref).size

    def pull(
        self,
        ref: str,
        to: str | os.PathLike[str] | None = None,
        *,
        link: bool | None = None,
        trust: Trust | None = None,
        said: Said = silent,
    ) -> Path:
        """Give a folder with exactly the files of a version, verified and read-only.

        Args:
            ref: such as `majora@champion`.
            to: a folder to make, or an empty one, or one that holds exactly these files already;
                left out, one in the cache, shared with everyone on this machine.
            link: whether a file may be the store's own under a second name, else it is a copy; left
                out, unless root pulls, to whom read-only means nothing.
            trust: looks at the manifest and its signatures, and raises unless they are good.
            said: told the bytes as they arrive.

        Raises:
            NotFound: there is no such version, or it was registered without bytes.
            Corrupt: the store or a server gave other bytes; nothing of them is left.
            Unreachable: the server does not answer; with `HERDBOOK_OFFLINE=1` what was pulled
                before is given.
        """
        return self.pulled(ref, to, link=link, trust=trust, said=said).path

    def pulled(
        self,
        ref: str,
        to: str | os.PathLike[str] | None = None,
        *,
        link: bool | None = None,
        trust: Trust | None = None,
        said: Said = silent,
    ) -> Pulled:
        """Do what `pull` does, and tell how the files came there."""
        return self._pulling.pulled(ref, to, link=link, trust=trust, said=said)

    # --- blue/green on this machine ---

    def stage(self, ref: str, slot: str, *, to: str | os.PathLike[str]) -> "Staged":
        """Put a version into a slot beside the one services read; whole or not at all.

        Args:
            ref: such as `majora:v2`, or `local:FOLDER`.
            slot: such as `green`; never the one that is current.
            to: the folder of the slots, such as `/srv/models`.

        Raises:
            Conflict: the slot is current.
            NotFound: there is no such version, or it was registered without bytes.
        """
        from herdbook.front.staging import registered, sourced

        def asked(version: str) -> "Source":
            found = self._door.call(Version, "versions.get", ref=version)
            return registered(found, self.pull)

        slots = self.slots(to)
        slots.stageable(slot)
        source = sourced(ref, asked)
        return slots.stage(slot, source.fill, version=source.version, digest=source.digest)

    def slots(self, to: str | os.PathLike[str]) -> "Slots":
        """Give the slots of a folder: their `status`, `switch` to a slot, `back` to the one before.

        An example that runs is in docs/bluegreen.md.
        """
        from herdbook.storage.slots import Slots

        return Slots(Path(to))

    # --- what is inside ---

    def inspect(self, ref: str) -> Inside:
        """Tell what is inside a version: formats, parameters, labels, what can execute on load.

        Nothing of it is executed. What was found is remembered, and no byte read twice for it.
        """
        return self._door.call(Inside, "artifacts.inspect", ref=ref)

    def diff(self, old: str, new: str, *, quick: bool = False) -> Changes:
        """Tell what changed from one version to another: files, labels, tensors.

        Args:
            old: such as `majora:v1`.
            new: such as `majora:v2`.
            quick: read no bytes; tensors are compared as far as is known already.
        """
        return self._door.call(Changes, "artifacts.changes", old=old, new=new, quick=quick)

    # --- signatures ---

    def sign(self, ref: str, signature: str) -> Files:
        """Keep a signature of a version; see `herdbook.signing`."""
        return self._door.call(Files, "artifacts.sign", ref=ref, signature=signature)

    def signatures(self, ref: str) -> Signatures:
        """Give the signatures of a version, oldest first."""
        return self._door.call(Signatures, "artifacts.signatures", ref=ref)

    # --- without a network ---

    def export(
        self, refs: Sequence[str], to: str | os.PathLike[str], *, said: Said = silent
    ) -> "Written":
        """Write versions with their bytes and signatures into one archive, an OCI image layout."""
        from herdbook.front import bundling

        return bundling.exported(self._door, refs, Path(to), said=said)

    def load(self, path: str | os.PathLike[str], *, said: Said = silent) -> "list[Carried]":
        """Register the versions of an archive, with their bytes and signatures.

        A version that is there already with the same bytes stays as it is; with others it is
        refused before anything is written.
        """
        from herdbook.front import bundling

        return bundling.imported(self._door, Path(path), said=said)

    # --- keeping house ---

    def collect(
        self, *, grace_hours: float = 24.0, dry_run: bool = False, said: Said = silent
    ) -> Collected:
        """Remove blobs that no version holds and nobody is about to need."""
        return self._door.call(
            Collected, "artifacts.collect", grace_hours=grace_hours, dry_run=dry_run, said=said
        )

    def verify(
        self,
        ref: str = "",
        *,
        read_percent: float = 0.0,
        remove: bool = False,
        said: Said = silent,
    ) -> Verified:
        """Look for every blob, of a version or of all, and recompute the manifests.

        With `remove` damaged bytes are taken out of the store, so that pushing the right ones
        again mends the versions.
        """
        how = {"ref": ref, "read_percent": read_percent, "remove": remove, "said": said}
        return self._door.call(Verified, "artifacts.verify", **how)

    @property
    def cache(self) -> Cache:
        """What was pulled to this machine; Invalid when the register was opened without."""
        return self._pulling.cache


_NO_DIGEST: Final = f"sha256:{'0' * 64}"


def _artifact(file: Found, digest: str, size: int) -> Artifact:
    return Artifact(path=file.path, size=size, digest=digest, role=file.role)


def _pushed(version: Version | None, manifest: Manifest, new: dict[str, int]) -> Pushed:
    if version is not None and version.facts.manifest != manifest.digest:
        raise Corrupt(
            f"{version.ref} was registered with {version.facts.manifest}, not {manifest.digest}"
        )
    return Pushed(
        version=version,
        manifest=manifest.digest,
        files=len(manifest.files),
        size=manifest.size,
        new_files=len(new),
        new_bytes=sum(new.values()),
        warnings=version.warnings if version else (),
    )
