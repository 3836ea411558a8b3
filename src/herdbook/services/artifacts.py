"""Files of versions: which are stored, what a version holds, what has to be sent."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from herdbook.core.access import Action
from herdbook.core.artifacts import (
    Artifact,
    Files,
    Manifest,
    Missing,
    Signatures,
    blob_digest,
)
from herdbook.core.events import Change
from herdbook.core.keys import Proof
from herdbook.core.models import Version
from herdbook.core.ports import Work
from herdbook.core.refs import VersionRef, version_ref
from herdbook.errors import Invalid, NotFound

# How long what was sent waits for the version it is for.
PIN_FOR: Final = timedelta(days=1)
ASKED_LIMIT: Final = 10_000
SIGNATURE_LIMIT: Final = 4 * 1_048_576
# Of one manifest together: who asks for them is given all at once.
SIGNATURES_LIMIT: Final = 32 * 1_048_576


def missing(work: Work, *, digests: Sequence[str]) -> Missing:
    """Tell which blobs have to be sent before a version can hold them; the others are pinned.

    A blob that is there, but that the actor neither sent nor may read, has to be sent too: to be
    told otherwise would tell what others have, and saying that one has it is no proof.
    """
    work.by.allow_somewhere(Action.WRITE)
    if len(digests) > ASKED_LIMIT:
        raise Invalid(f"{len(digests):,} digests; ask for {ASKED_LIMIT:,} at once", field="digests")
    asked = list(dict.fromkeys(blob_digest(text, field="digests") for text in digests))
    there = known(work, asked)
    work.artifacts.pin(there, until=work.now() + PIN_FOR, proven=False)
    return Missing(digests=tuple(digest for digest in asked if digest not in there))


def known(work: Work, digests: Iterable[str]) -> dict[str, int]:
    """Give the sizes of those that are noted and that the actor has sent, or may read."""
    sizes = work.artifacts.sizes(digests)
    # To see all versions is not to see what was deleted, or what others have sent so far.
    if work.by.rank() >= Action.ADMIN:
        return sizes
    may = work.artifacts.proven(sizes) | work.artifacts.readable(sizes)
    return {digest: size for digest, size in sizes.items() if digest in may}


def stored(work: Work, *, sizes: Mapping[str, int]) -> None:
    """Note blobs whose bytes the actor has sent and the store keeps."""
    work.by.allow_somewhere(Action.WRITE)
    work.artifacts.pin(sizes, until=work.now() + PIN_FOR, proven=True)
    work.artifacts.add(sizes)


def adopted(work: Work, files: Sequence[Artifact]) -> str:
    """Keep the manifest of files for a version to come and give its digest; "" for no files.

    Raises:
        NotFound: bytes it names were not sent, or not by this actor.
        Invalid: a size is not that of the bytes.
    """
    if not files:
        return ""
    manifest = Manifest(tuple(files))
    require(work, manifest.files)
    work.artifacts.keep(manifest)
    return manifest.digest


def require(work: Work, files: Sequence[Artifact]) -> None:
    """Make sure that the actor sent the bytes of files, or may read them.

    What is said of bytes that others have is what is said of bytes nobody has.

    Raises:
        NotFound: bytes were not sent, or not by this actor.
        Invalid: a size is not that of the bytes.
    """
    sizes = known(work, [file.digest for file in files])
    for file in files:
        if file.digest not in sizes:
            raise lacking(file)
        if sizes[file.digest] != file.size:
            raise Invalid(
                f"{file.path} is said to be {file.size:,} bytes, its digest is of "
                f"{sizes[file.digest]:,}",
                field="artifacts",
            )


def lacking(file: Artifact) -> NotFound:
    """Give the error for bytes that have to be sent first."""
    return NotFound(
        f"the bytes of {file.path} ({file.digest}) are not here; send them first, as "
        "`herdbook artifacts push` does",
        field="artifacts",
    )


def files(work: Work, ref: str | VersionRef) -> Files:
    """Give the files of a version.

    Raises:
        NotFound: it was registered without bytes.
    """
    found = _with_bytes(work, ref)
    manifest = work.artifacts.manifest(found.facts.manifest)
    signed = work.artifacts.signers(manifest.digest)
    return Files(
        ref=found.ref,
        manifest=manifest.digest,
        size=manifest.size,
        files=manifest.files,
        signed_by=tuple(by for by, _ in signed),
    )


def _with_bytes(work: Work, ref: str | VersionRef, *, action: Action = Action.READ) -> Version:
    wanted = version_ref(ref)
    work.by.allow(action, wanted.model)
    found = work.versions.get(wanted)
    if not found.facts.manifest:
        raise NotFound(
            f"{found.ref} was registered without its bytes: Herdbook knows where they are, not "
            "what they are; register the next version with `herdbook add MODEL --path FOLDER`",
            field="ref",
        )
    return found


def readable(work: Work, digest: str) -> int:
    """Give the size of a blob that is in a version the actor may read; to have sent it is no right.

    Raises:
        NotFound: it is not there, or in no such version.
    """
    sizes = work.artifacts.sizes(work.artifacts.readable([blob_digest(digest)]))
    if digest not in sizes:
        raise NotFound(f"there is no {digest} among the versions you may read", field="digest")
    return sizes[digest]


def to_prove(work: Work, ref: str | VersionRef) -> tuple[Manifest | None, tuple[str, ...]]:
    """Give what a signature has to be over, and the keys it may be by; None where none counts."""
    found = _with_bytes(work, ref, action=Action.WRITE)
    keys = work.models.get(found.model).trusted_keys
    return (work.artifacts.manifest(found.facts.manifest) if keys else None), keys


def sign(work: Work, ref: str | VersionRef, *, signature: str, proof: Proof | None = None) -> Files:
    """Keep a signature of a version's manifest; whoever pulls decides whose they trust.

    Args:
        work: the unit of work.
        ref: the version.
        signature: a Sigstore bundle as JSON text.
        proof: which trusted key the door found it to be by; noted also when the signature is
            here already.

    Raises:
        Invalid: it is no JSON object, or over 4 MiB, or all of them would be over 32 MiB.
    """
    found = _with_bytes(work, ref, action=Action.WRITE)
    if len(signature) > SIGNATURE_LIMIT or not _is_object(signature):
        raise Invalid(
            "a signature is a Sigstore bundle, a JSON object of at most 4 MiB", field="signature"
        )
    is_new = work.artifacts.sign(found.facts.manifest, signature)
    if is_new:
        _refuse_many(work, found)
    key = _noted(work, found, signature, proof)
    if is_new or key:
        body = {"manifest": found.facts.manifest} | ({"key": key} if key else {})
        work.record(
            Change(action="version.signed", model=found.model, number=found.number, body=body)
        )
    return files(work, found.ref)


def _refuse_many(work: Work, found: Version) -> None:
    signed = work.artifacts.signers(found.facts.manifest)
    if sum(size for _, size in signed) > SIGNATURES_LIMIT:
        raise Invalid(
            f"{found.ref} has {len(signed) - 1:,} signatures, and this one makes them over "
            f"{SIGNATURES_LIMIT >> 20} MiB; register a new version and sign that",
            field="signature",
        )


def _noted(work: Work, found: Version, signature: str, proof: Proof | None) -> str:
    """Note the key a signature is by, and give it when that was not known."""
    # The reference may have moved since the door looked: a proof is of one manifest.
    if proof is None or proof.manifest != found.facts.manifest:
        return ""
    is_new = work.artifacts.verify(proof.manifest, signature, key=proof.key)
    return proof.key if is_new else ""


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def signatures(work: Work, ref: str | VersionRef) -> Signatures:
    """Give the signatures of a version's manifest, oldest first."""
    found = _with_bytes(work, ref)
    kept = work.artifacts.signatures(found.facts.manifest)
    return Signatures(manifest=found.facts.manifest, signatures=tuple(kept))
