"""What the verbs ask of a database about bytes: which there are, who holds them, who is about to.

Each sentence here is a test in `tests/conformance/test_artifacts.py`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from herdbook.core.artifacts import Manifest, Signature
from herdbook.core.models import Version


class Artifacts(Protocol):
    """Which blobs there are, which versions hold them, and who is about to."""

    def register_key(self) -> str:
        """Give what tells this register from every other; it never changes."""

    def pin(self, digests: Iterable[str], *, until: datetime, proven: bool) -> None:
        """Keep blobs from being collected until a time, whether they are there yet or not.

        `proven` says that this actor has sent their bytes; once said it stays so.
        """

    def proven(self, digests: Iterable[str]) -> set[str]:
        """Give those whose bytes this actor has sent, under a pin that still holds."""

    def add(self, sizes: Mapping[str, int]) -> None:
        """Note blobs that the store holds now; those that are noted stay as they are."""

    def sizes(self, digests: Iterable[str]) -> dict[str, int]:
        """Give the sizes of those that are noted."""

    def readable(self, digests: Iterable[str]) -> set[str]:
        """Give those that a version this actor may read holds."""

    def holders(self, digests: Iterable[str]) -> dict[str, list[str]]:
        """Give the versions that hold each blob, `model:number`, hidden ones too."""

    def owners(self, manifests: Iterable[str]) -> dict[str, list[str]]:
        """Give the versions that have each manifest, `model:number`, hidden ones too."""

    def every(self, *, after: str, limit: int) -> Sequence[tuple[str, int]]:
        """Give digest and size of noted blobs, in order, after one."""

    def loose(self, *, before: datetime, after: str, limit: int) -> Sequence[tuple[str, int]]:
        """Give blobs noted before a time that no version holds and nobody pins, after one."""

    def awaited(self) -> tuple[int, int]:
        """Count noted blobs that no version holds and somebody pins, and add up their bytes."""

    def lock(self, digest: str) -> None:
        """Keep every other writer who notes, pins or names a blob waiting until this work ends."""

    def forget(self, digest: str) -> bool:
        """Forget a blob if still no version holds it and nobody pins it; whether it was.

        Whoever notes it again waits until this work ends.
        """

    def forget_pins(self, before: datetime) -> None:
        """Forget pins that held until before a time."""

    def described(self, digests: Iterable[str]) -> set[str]:
        """Give those of which something is known to be inside."""

    def contents(self, digests: Iterable[str]) -> dict[str, str]:
        """Give what is known to be inside blobs, as JSON, by digest."""

    def describe(self, contents: Mapping[str, str]) -> None:
        """Keep what is inside blobs, as JSON, by digest; those not noted stay so."""

    def keep(self, manifest: Manifest) -> None:
        """Keep a manifest and which noted blobs it names; NotFound when one is not noted."""

    def attach(self, version: Version) -> None:
        """Have a version hold the blobs of the manifest its facts name, and no others."""

    def manifest(self, digest: str) -> Manifest:
        """Give a kept manifest; NotFound; Corrupt when it is no longer what was kept."""

    def manifests(self, *, after: str, limit: int) -> Sequence[str]:
        """Give the digests of kept manifests, in order, after one."""

    def sign(self, manifest: str, text: str) -> bool:
        """Keep a signature of a manifest; whether it is new, for the same is kept once."""

    def signers(self, manifest: str) -> Sequence[tuple[str, int]]:
        """Give who sent the signatures of a manifest and how long each is, oldest first."""

    def verify(self, manifest: str, text: str, *, key: str) -> bool:
        """Note which key a kept signature was verified to be by; whether that is new."""

    def verified_keys(self, manifest: str) -> set[str]:
        """Give the digests of the keys that signatures of a manifest were verified to be by."""

    def signatures(self, manifest: str) -> Sequence[Signature]:
        """Give the signatures of a manifest, oldest first."""
