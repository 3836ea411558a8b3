"""Look whether the store has what the register says, and take out what is damaged."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from herdbook.core.access import Action
from herdbook.core.blobs import Said, silent
from herdbook.core.housekeeping import Damage, Verified
from herdbook.core.ports import Work
from herdbook.core.refs import version_ref
from herdbook.errors import Corrupt, HerdbookError, Invalid, NotFound
from herdbook.services import artifacts
from herdbook.services.store import BATCH, Store, admin

SHOWN: Final = 1_000

Wrong = tuple[str, str]


def verify(
    store: Store,
    *,
    ref: str = "",
    read_percent: float = 0.0,
    remove: bool = False,
    said: Said = silent,
) -> Verified:
    """Look for every blob, recompute every manifest, read a part of the bytes.

    Args:
        store: the bytes of a register.
        ref: only what this version has; left out, everything, which is for admins.
        read_percent: how many of 100 blobs, drawn at random, are read and hashed; of the others
            the size is compared. Of one version it is for who may write the model.
        remove: take damaged bytes out of the store, so that a push of the right ones stores
            them anew; for admins.
        said: told the bytes of each blob that was looked at.
    """
    if not 0 <= read_percent <= 100:
        raise Invalid(f"{read_percent} is no percentage", field="read_percent")
    if remove or not ref:
        store.runner.read(admin)
    if remove:
        store.claim()
    look = _Look(store, read_percent)
    for digest, count, problem in look.all_of(ref):
        if problem and remove:
            look.take_out(digest, count)
        said(count)
    return look.told()


class _Look:
    """One look through a store."""

    def __init__(self, store: Store, read_percent: float) -> None:
        self._store, self._percent = store, read_percent
        self._manifests = self._blobs = self._size = self._read = self._damaged = 0
        self._wrong: list[Wrong] = []

    def told(self) -> Verified:
        """Give what was found."""
        return Verified(
            manifests=self._manifests,
            blobs=self._blobs,
            size=self._size,
            read=self._read,
            damage=self._affected(),
            damaged=self._damaged,
        )

    def all_of(self, ref: str) -> Iterator[tuple[str, int, str]]:
        """Look at the manifests, and give digest, size and problem of each blob."""
        if ref:
            groups = iter([self._of_version(ref)])
        else:
            self._recompute()
            groups = self._noted()
        for group in groups:
            yield from self._group(group)

    def _of_version(self, ref: str) -> dict[str, int]:
        def job(work: Work) -> dict[str, int]:
            if self._percent:
                work.by.allow(Action.WRITE, version_ref(ref).model)
            # Its manifest is recomputed as it is read.
            return {file.digest: file.size for file in artifacts.files(work, ref).files}

        found = self._store.runner.read(job)
        self._manifests = 1
        return found

    def _group(self, group: dict[str, int]) -> Iterator[tuple[str, int, str]]:
        there = self._store.blobs.sizes(group)
        # One that no version holds may have been collected meanwhile.
        held = self._holders(group.keys() - there.keys())
        for digest, count in group.items():
            if digest not in there and digest not in held:
                continue
            drawn = random.random() * 100 < self._percent  # noqa: S311 - a sample, no secret
            problem = self._problem(digest, count, there.get(digest), read=drawn)
            self._blobs, self._size = self._blobs + 1, self._size + count
            self._read += count * drawn
            if problem:
                self._note(digest, problem)
            yield digest, count, problem

    def _note(self, digest: str, problem: str) -> None:
        self._damaged += 1
        if len(self._wrong) < SHOWN:
            self._wrong.append((digest, problem))

    def take_out(self, digest: str, size: int) -> None:
        """Remove a blob that still is damaged when nobody else can store it anew."""

        def job(work: Work) -> None:
            work.artifacts.lock(digest)
            there = self._store.blobs.size(digest)
            if there is not None and self._problem(digest, size, there, read=True):
                self._store.blobs.remove(digest)

        self._store.runner.write(job, long=True)

    def _problem(self, digest: str, size: int, there: int | None, *, read: bool) -> str:
        if there is None:
            return "it is not in the store"
        if there != size:
            return f"it is {there:,} bytes in the store, not {size:,}"
        if read:
            try:
                for _ in self._store.blobs.read(digest):
                    pass
            except Corrupt as error:
                return str(error)
            except NotFound:
                return "it is not in the store" if digest in self._holders([digest]) else ""
        return ""

    def _holders(self, digests: Sequence[str] | set[str]) -> Mapping[str, Sequence[str]]:
        return self._store.runner.read(lambda work: work.artifacts.holders(digests))

    def _noted(self) -> Iterator[dict[str, int]]:
        after = ""
        while page := self._every_after(after):
            yield dict(page)
            after = page[-1][0]

    def _every_after(self, after: str) -> Sequence[tuple[str, int]]:
        return self._store.runner.read(lambda work: work.artifacts.every(after=after, limit=BATCH))

    def _recompute(self) -> None:
        after = ""
        while found := self._manifests_after(after):
            for digest, problem in found:
                self._manifests += 1
                if problem:
                    self._note(digest, problem)
            after = found[-1][0]

    def _manifests_after(self, after: str) -> list[Wrong]:
        def job(work: Work) -> list[Wrong]:
            page = work.artifacts.manifests(after=after, limit=BATCH)
            return [(digest, _broken(work, digest)) for digest in page]

        return self._store.runner.read(job)

    def _affected(self) -> tuple[Damage, ...]:
        digests = [digest for digest, _ in self._wrong]

        def job(work: Work) -> tuple[Mapping[str, Sequence[str]], ...]:
            found = work.artifacts.holders(digests), work.artifacts.owners(digests)
            return tuple({d: _told_to(work, refs) for d, refs in each.items()} for each in found)

        blobs, whole = self._store.runner.read(job)
        return tuple(
            Damage(
                digest=digest,
                problem=problem,
                versions=(*blobs.get(digest, ()), *whole.get(digest, ())),
            )
            for digest, problem in self._wrong
        )


def _broken(work: Work, digest: str) -> str:
    try:
        work.artifacts.manifest(digest)
    except HerdbookError as error:
        return str(error)
    return ""


def _told_to(work: Work, refs: Sequence[str]) -> list[str]:
    """Give those of versions that the actor may know of."""
    return [ref for ref in refs if work.by.rank(ref.partition(":")[0]) >= Action.READ]
