"""Versions out of a register and into another through one archive."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from herdbook.core.artifacts import Artifact, Files, Manifest, Signatures
from herdbook.core.blobs import Said
from herdbook.core.models import UNSEALED, Facts, ParentKind, Version
from herdbook.core.wire import dumps, value
from herdbook.errors import AlreadyExists, Corrupt, Gone, HerdbookError, Invalid, NotFound
from herdbook.front.door import Door
from herdbook.services.versions import Draft
from herdbook.storage.bundles import Packed, Written, read_bundle, write_bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What became of a version of an archive.

    Args:
        ref: the version, `model:number`.
        new: whether it was not there before.
        notes: what could not be taken as it was; one sentence each.
    """

    ref: str
    new: bool
    notes: tuple[str, ...] = ()


def exported(door: Door, refs: Sequence[str], to: Path, *, said: Said) -> Written:
    """Write versions into an archive."""
    if not refs:
        raise Invalid("name the versions to export, such as majora:v2", field="refs")
    packed: dict[str, Packed] = {}
    files: dict[str, Artifact] = {}
    for ref in refs:
        version = door.call(Version, "versions.get", ref=ref)
        found = door.call(Files, "artifacts.files", ref=version.ref)
        signed = door.call(Signatures, "artifacts.signatures", ref=version.ref)
        manifest = found.whole()
        files |= {file.digest: file for file in manifest.files}
        packed[version.ref] = Packed(
            version=dumps(version),
            manifest=manifest,
            signatures=tuple(signature.text for signature in signed.signatures),
        )
    return write_bundle(
        to, list(packed.values()), lambda digest: door.stream(files[digest]), said=said
    )


def imported(door: Door, path: Path, *, said: Said) -> list[Carried]:
    """Register the versions of an archive."""
    with read_bundle(path) as bundle:
        wanted = [(_version(one), one) for one in bundle.contents]
        fresh = {version.ref for version, one in wanted if _is_new(door, version, one.manifest)}
        for digest, size, chunks in bundle.blobs():
            door.take(chunks, digest=digest, size=size)
            said(size)
        carried = {version.ref: Carried(ref=version.ref, new=False) for version, _ in wanted}
        # Whoever is a parent came first, wherever it stands in the archive.
        for version, one in sorted(wanted, key=lambda pair: pair[0].created_at):
            if version.ref in fresh:
                carried[version.ref] = _register(door, version, one)
        return list(carried.values())


def _version(packed: Packed) -> Version:
    try:
        found: Version = value(Version, json.loads(packed.version))
    except HerdbookError as error:
        raise Corrupt(f"the archive holds a version that cannot be read: {error}") from None
    if found.facts.manifest != packed.manifest.digest:
        raise Corrupt(f"the archive gives {found.ref} other files than it was registered with")
    return found


def _is_new(door: Door, version: Version, manifest: Manifest) -> bool:
    try:
        there = door.call(Version, "versions.get", ref=version.ref)
    except Gone as gone:
        raise AlreadyExists(
            f"{gone}; a number is never given again, and nothing of the archive was taken",
            field="version",
        ) from None
    except NotFound:
        return True
    if there.facts.manifest == manifest.digest:
        return False
    raise AlreadyExists(
        f"{version.ref} is here already, with other bytes; nothing of the archive was taken",
        field="version",
    )


def _register(door: Door, version: Version, packed: Packed) -> Carried:
    notes: list[str] = []
    parents = _parents(door, version, notes)
    draft = Draft(
        number=version.number,
        **_begins(version),
        description=version.description,
        notes=version.notes,
        tags=version.tags,
        metrics=version.metrics,
        metrics_source="import" if version.metrics else "",
        parents=parents,
        artifacts=packed.manifest.files,
        **_facts(version.facts),
    )
    made = door.call(Version, "versions.register", model=version.model, draft=draft)
    for signature in packed.signatures:
        door.call(Files, "artifacts.sign", ref=made.ref, signature=signature)
    return Carried(ref=made.ref, new=True, notes=tuple(notes))


def _begins(version: Version) -> dict[str, Any]:
    # What a version may do elsewhere is decided there: it begins as one that is finished.
    return {"status": version.status} if version.status in UNSEALED else {}


def _facts(facts: Facts) -> dict[str, Any]:
    kinds = {parent.kind for parent in facts.parents}
    return {
        "training": facts.training,
        "files": facts.files,
        "parent_kind": kinds.pop() if len(kinds) == 1 else ParentKind.FINE_TUNE,
        "training_data": facts.datasets,
        "dependencies": facts.dependencies,
        "metadata": facts.metadata,
        "git_commit": facts.git_commit,
        "git_dirty": facts.git_dirty,
    }


def _parents(door: Door, version: Version, notes: list[str]) -> tuple[str, ...]:
    kept = []
    for parent in version.facts.parents:
        try:
            door.call(Version, "versions.get", ref=parent.ref)
        except NotFound:
            notes.append(f"{version.ref} came from {parent.ref}, which is not in this register")
        else:
            kept.append(parent.ref)
    if len({parent.kind for parent in version.facts.parents}) > 1:
        notes.append(f"{version.ref} came from its parents in several ways; fine-tune is kept")
    return tuple(kept)
