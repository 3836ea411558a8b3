"""The bytes of a register and what it knows of them, kept in step.

Bytes come before names: a blob is durable before it is noted, noted before a version names it.
They go the other way round: a blob is forgotten and removed in one transaction, which finds that
no version holds it and nobody is about to. Whoever stores bytes looks again after they are noted,
for what was there a moment ago may have been on its way out.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final, Protocol, TypeVar

from herdbook.core.access import Action
from herdbook.core.artifacts import Artifact, Files, Missing, Signatures
from herdbook.core.blobs import Blobs, Said, Stored, silent
from herdbook.core.events import Change
from herdbook.core.housekeeping import Collected
from herdbook.core.ports import Work
from herdbook.errors import Conflict, Corrupt, Invalid, Unavailable
from herdbook.services import artifacts

T = TypeVar("T")

BATCH: Final = 500
# How many blobs are taken in before they are noted: each time waits for the disk.
NOTED_AT_ONCE: Final = 1_000
SHORT_TEXT: Final = 1 << 16
SHOWN_DIGESTS: Final = 100


class Runner(Protocol):
    """Runs jobs, each in a unit of work of its own."""

    def read(self, job: Callable[[Work], T]) -> T:
        """Run a job that reads."""

    def write(self, job: Callable[[Work], T], *, long: bool = False) -> T:
        """Run a job that writes; leaving it commits. `long` is one others should not wait for."""


class Store:
    """The bytes of a register.

    Args:
        blobs: where they are.
        runner: runs jobs as whoever acts.
    """

    def __init__(self, blobs: Blobs, runner: Runner) -> None:
        self.blobs = blobs
        self.runner = runner

    def claim(self) -> None:
        """Make sure that no other register uses the store.

        Raises:
            Conflict: one does; each would collect what the other needs.
        """
        own = self.runner.read(lambda work: work.artifacts.register_key())
        if self.blobs.claim(own) != own:
            raise Conflict(
                f"{self.blobs.address} holds the bytes of another register; give this one a store "
                "of its own with HERDBOOK_BLOBS. To hand the store over, remove what is called "
                "register in it",
                field="blobs",
            )

    # --- in ---

    def missing(self, *, digests: Sequence[str]) -> Missing:
        """Tell which blobs have to be sent before a version can hold them; others are pinned."""
        long = len(digests) > BATCH
        found = self.runner.write(lambda work: artifacts.missing(work, digests=digests), long=long)
        noted = self._sizes(set(digests) - set(found.digests))
        there = self.blobs.sizes(noted)
        sent = {digest for digest, size in noted.items() if there.get(digest) == size}
        return Missing(digests=tuple(d for d in dict.fromkeys(digests) if d not in sent))

    def take_all(self, paths: Iterable[Path], *, said: Said = silent) -> Iterator[Stored]:
        """Take files in, and tell of each in their order when it is durable and noted."""
        self.claim()
        coming = iter(paths)
        while group := list(islice(coming, NOTED_AT_ONCE)):
            stored = list(self.blobs.take_all(group, said=said))
            lost = self._note(stored)
            again = [path for path, each in zip(group, stored, strict=True) if each.digest in lost]
            if self._note(list(self.blobs.take_all(again))):
                raise _removed_again()
            yield from stored

    def write(self, chunks: Iterable[bytes], *, digest: str, size: int) -> Stored:
        """Take in the bytes of a digest, and note them.

        Raises:
            Invalid: they are other bytes, or another number of them.
            Unavailable: they were removed while they arrived; they have to be sent again.
        """
        known = self.runner.read(lambda work: artifacts.known(work, [digest]))
        self.claim()
        try:
            stored = self.blobs.write(chunks, digest=digest, size=size)
        except Corrupt as error:
            raise Invalid(f"{error}; nothing of them was kept", field="digest") from None
        if self._note([stored]):
            raise _removed_again()
        # Whether others have the same bytes is nothing that sending them should tell.
        return replace(stored, new=digest not in known)

    def _note(self, stored: Sequence[Stored]) -> set[str]:
        """Note blobs and give those that were removed before they were noted.

        New ones too: until it is noted, a blob looks like what a writer who died has left.
        """
        if not stored:
            return set()
        sizes = {each.digest: each.size for each in stored}
        self.runner.write(lambda work: artifacts.stored(work, sizes=sizes))
        return sizes.keys() - self.blobs.sizes(sizes).keys()

    def check(self, files: Sequence[Artifact]) -> None:
        """Make sure that the store has the bytes of a version to come.

        Raises:
            NotFound: it lacks some, or the actor neither sent them nor may read them.
            Invalid: a size is not that of the bytes.
            Corrupt: it has another number of them than were sent.
        """
        # First, so that nobody learns from the store what they may not know.
        self.runner.read(lambda work: artifacts.require(work, files))
        there = self.blobs.sizes({file.digest for file in files})
        for file in files:
            if file.digest not in there:
                raise artifacts.lacking(file)
            if there[file.digest] != file.size:
                raise Corrupt(
                    f"the store holds {there[file.digest]:,} bytes of {file.path} "
                    f"({file.digest}), not {file.size:,}; send them again"
                )

    # --- out ---

    def readable(self, digest: str) -> int:
        """Give the size of a blob that is in a version the actor may read; NotFound."""
        return self.runner.read(lambda work: artifacts.readable(work, digest))

    def signatures(self, ref: str) -> Signatures:
        """Give the signatures of a version the actor may read."""
        return self.runner.read(lambda work: artifacts.signatures(work, ref))

    # --- what is inside ---

    def files(self, ref: str) -> Files:
        """Give the files of a version the actor may read."""
        return self.runner.read(lambda work: artifacts.files(work, ref))

    def described(self, digests: Iterable[str]) -> set[str]:
        """Give the blobs of which something is known to be inside."""
        return self.runner.read(lambda work: work.artifacts.described(digests))

    def remembered(self, digests: Iterable[str]) -> dict[str, str]:
        """Give what is known to be inside blobs, as JSON, by digest."""
        return self.runner.read(lambda work: work.artifacts.contents(digests))

    def remember(self, contents: Mapping[str, str]) -> None:
        """Keep what is inside blobs, as JSON, by digest; where that cannot be, it is let go."""
        if contents:
            # Who only reads shall not fail because others keep the database busy.
            long = sum(map(len, contents.values())) > SHORT_TEXT
            with suppress(Unavailable, Invalid):
                self.runner.write(lambda work: work.artifacts.describe(contents), long=long)

    # --- keeping house ---

    def collect(
        self, *, grace_hours: float = 24.0, dry_run: bool = False, said: Said = silent
    ) -> Collected:
        """Remove blobs that no version holds and nobody is about to need.

        Args:
            grace_hours: what is younger than this stays, for its version may be on the way; 1 or
                more where others push meanwhile.
            dry_run: remove nothing.
            said: told the bytes of each blob that is removed.
        """
        if not 0 <= grace_hours <= 24 * 3650:
            raise Invalid(f"a grace of {grace_hours} hours is none", field="grace_hours")
        grace = timedelta(hours=grace_hours)
        self.claim()
        before = self.runner.read(admin) - grace
        digests: list[str] = []
        blobs = size = 0
        for digest, count in self._loose(grace):
            if dry_run or self._forgotten(digest, count):
                blobs, size = blobs + 1, size + count
                digests += [digest] if blobs <= SHOWN_DIGESTS else []
                said(count)
        drafts = 0 if dry_run else self.blobs.sweep(before=before)
        awaited, awaited_size = self.runner.read(lambda work: work.artifacts.awaited())
        found = Collected(
            blobs=blobs,
            size=size,
            drafts=drafts,
            dry_run=dry_run,
            digests=tuple(digests),
            awaited=awaited,
            awaited_size=awaited_size,
        )
        if not dry_run:
            self.runner.write(lambda work: _tell(work, found))
        return found

    def _loose(self, grace: timedelta) -> Iterator[tuple[str, int]]:
        after = ""
        while True:
            page = self._loose_after(after, grace)
            yield from page
            if len(page) < BATCH:
                break
            after = page[-1][0]
        yield from self._unnoted(grace)

    def _loose_after(self, after: str, grace: timedelta) -> Sequence[tuple[str, int]]:
        return self.runner.read(
            lambda work: work.artifacts.loose(before=work.now() - grace, after=after, limit=BATCH)
        )

    def _unnoted(self, grace: timedelta) -> Iterator[tuple[str, int]]:
        """Give blobs that a writer stored and did not live to note."""
        before = self.runner.read(lambda work: work.now()) - grace
        held = (each for each in self.blobs.each() if each.at < before)
        while group := {each.digest: each.size for each in islice(held, BATCH)}:
            noted = self._sizes(group)
            yield from ((d, size) for d, size in group.items() if d not in noted)

    def _sizes(self, digests: Iterable[str]) -> dict[str, int]:
        return self.runner.read(lambda work: work.artifacts.sizes(digests))

    def _forgotten(self, digest: str, size: int) -> bool:
        def job(work: Work) -> bool:
            # Noted first if it is not: so that who notes it meanwhile waits for this to end.
            work.artifacts.add({digest: size})
            if not work.artifacts.forget(digest):
                return False
            self.blobs.remove(digest)
            return True

        # To remove an object takes as long as its network does.
        return self.runner.write(job, long=True)


def admin(work: Work) -> datetime:
    """Refuse who is no admin; give the time."""
    work.by.allow(Action.ADMIN)
    return work.now()


def _tell(work: Work, found: Collected) -> None:
    work.artifacts.forget_pins(work.now())
    if found.blobs:
        body = {"blobs": found.blobs, "bytes": found.size}
        work.record(Change(action="artifacts.collected", body=body))


def _removed_again() -> Unavailable:
    return Unavailable("bytes were removed while they arrived; push again")
