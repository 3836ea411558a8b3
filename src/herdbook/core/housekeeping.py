"""What keeping house over the bytes of a register found and did."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What was removed because nobody needs it.

    Args:
        blobs: how many blobs.
        size: their bytes.
        drafts: what writers that died had left half written.
        dry_run: whether nothing was removed, and the rest is what would be.
        digests: the first 100 of the blobs.
        awaited: how many blobs no version holds, but somebody sent or asked for within a day.
        awaited_size: their bytes.
    """

    blobs: int
    size: int
    drafts: int
    dry_run: bool
    digests: tuple[str, ...] = ()
    awaited: int = 0
    awaited_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Bytes that are not what they must be.

    Args:
        digest: of the blob or manifest.
        problem: what is wrong with it.
        versions: which versions need it, `model:number`.
    """

    digest: str
    problem: str
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was looked at, and what was wrong with it.

    Args:
        manifests: how many manifests were recomputed.
        blobs: how many blobs were looked for.
        size: their bytes.
        read: how many of these bytes were read.
        damage: the first 1,000 found.
        damaged: how many there are.
    """

    manifests: int
    blobs: int
    size: int
    read: int
    damage: tuple[Damage, ...] = ()
    damaged: int = 0
