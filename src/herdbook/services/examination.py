"""What is inside blobs: looked for once, remembered by their digest.

What is found follows from the bytes alone, and from what reads them: remembered is what one reader
of formats found, and a newer one looks again. What a file's name or its neighbours tell is added
each time.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from herdbook.core import wire
from herdbook.core.artifacts import Artifact
from herdbook.core.blobs import Opened
from herdbook.core.contents import Risk
from herdbook.core.wire import plain
from herdbook.errors import Invalid, NotFound
from herdbook.formats import READER, Contents, Tensor, digested, look, named
from herdbook.formats.digests import LEFT_OUT
from herdbook.formats.onnx import outside
from herdbook.formats.opinions import asked, opinion
from herdbook.services.store import Store

# What is read of a version's files at one time; what is left out is looked into the next time.
READ_BYTES_LIMIT: Final = 512 << 20
# How many tensors are held at one time: a header makes many of few bytes.
HELD_TENSORS_LIMIT: Final = 500_000
MEMO_BYTES_LIMIT: Final = 16 << 20
_AT_ONCE: Final = 8
# Up to this size many blobs may be held at once while they are looked into.
SMALL_BYTES: Final = 1 << 20
_BATCH: Final = 1_000
_REMEMBERED_AT_ONCE: Final = 25
NOT_LOOKED: Final = "it was not looked into: there was too much to look into at once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is known of a blob.

    Args:
        contents: what is in it; None where its header lies, or it was not looked into.
        problem: how its header lies, or "".
        scanner: who gave a second opinion, or "".
        scanned: what that says.
        reader: which reader of formats found this.
        digested: whether its tensors have digests, as far as they can.
    """

    contents: Contents | None = None
    problem: str = ""
    scanner: str = ""
    scanned: tuple[str, ...] = ()
    reader: int = READER
    digested: bool = False

    @property
    def looked(self) -> bool:
        """Whether it was looked into."""
        return self.contents is not None or bool(self.problem)

    def called(self, path: str) -> "Found":
        """Add what the name of a file tells."""
        if self.contents is None:
            return self
        contents = self.contents
        if self.scanned:
            contents = replace(contents, executable=(*contents.executable, *self.scanned))
        contents = named(contents, path)
        return self if contents is self.contents else replace(self, contents=contents)


class Examiner:
    """Looks into the blobs of a store.

    Args:
        store: whose bytes.
        limit_bytes: how many it may read in its life; what is remembered costs none.
        limit_tensors: how many it may hold in memory, remembered ones too.
    """

    def __init__(
        self,
        store: Store,
        *,
        limit_bytes: int = READ_BYTES_LIMIT,
        limit_tensors: int = HELD_TENSORS_LIMIT,
    ) -> None:
        self._store = store
        self._left = limit_bytes
        self._tensors, self._limit_tensors = 0, limit_tensors
        self._known: dict[str, Found] = {}
        # What was read in parts, of bytes nobody had verified: true for now, not for ever.
        self._unsure: set[str] = set()

    def look(self, files: Sequence[Artifact]) -> dict[str, Found]:
        """Tell what is in files, by their paths; what cannot be looked into is `not looked`."""
        known = self._known
        known |= self._remembered(files)
        first = {file.digest: file for file in files if file.digest not in known}
        found = self._all(list(first.values()))
        while group := list(islice(found, _BATCH)):
            known |= {digest: one for digest, one, _ in group}
            self._unsure |= {digest for digest, _, sure in group if not sure}
            self._remember({digest: one for digest, one, sure in group if sure and one.looked})
        return {file.path: known[file.digest].called(file.path) for file in files}

    def risks(self, files: Sequence[Artifact]) -> tuple[Risk, ...]:
        """Tell which files a policy has to decide about, by path; of the rest nothing is held."""
        told: list[Risk] = []
        left = list(files)
        while left:
            group, left = left[:_BATCH], left[_BATCH:]
            found = self.look(group)
            # What memory did not reach for is looked into alone; what is left over of reading not.
            again = [file for file in group if self._left > 0 and not found[file.path].looked]
            waits = {file.path for file in again}
            told += risks({path: one for path, one in found.items() if path not in waits})
            self._known.clear()
            self._unsure.clear()
            self._tensors = 0
            left = again + left
        return tuple(sorted(told, key=lambda risk: risk.path))

    def _all(self, files: Sequence[Artifact]) -> Iterator[tuple[str, Found, bool]]:
        small = [file for file in files if file.size <= SMALL_BYTES]
        if small and self._store.blobs.file(small[0].digest) is None:
            # They wait for a network together; larger ones do not, for their headers take memory.
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="herdbook") as pool:
                yield from pool.map(self._one, small)
            files = [file for file in files if file.size > SMALL_BYTES]
        yield from map(self._one, files)

    def _one(self, file: Artifact) -> tuple[str, Found, bool]:
        if self._left <= 0 or self._is_full:
            return file.digest, Found(), False
        try:
            with self._store.blobs.opened(file.digest) as reader:
                found = _found(reader)
                self._left -= reader.read_bytes
                self._tensors += _tensors(found)
                return file.digest, found, reader.sure
        except NotFound:
            raise NotFound(
                f"the bytes of {file.path} were removed meanwhile; push them again"
            ) from None

    @property
    def _is_full(self) -> bool:
        return self._tensors >= self._limit_tensors

    def recall(self, files: Sequence[Artifact]) -> dict[str, Found]:
        """Give what is remembered of files, by their paths, without looking into any."""
        self._known |= self._remembered(files)
        known = {file.path: self._known.get(file.digest, Found()) for file in files}
        return {path: found.called(path) for path, found in known.items()}

    def digest(self, file: Artifact) -> Sequence[Tensor]:
        """Give the tensors of a file that was looked into, with their digests.

        Without the package for that they have none.
        """
        found = self._known[file.digest]
        if found.contents is None:
            return ()
        if not found.digested:
            found = self._digested(file, found, found.contents)
        return found.contents.tensors if found.contents else ()

    def _digested(self, file: Artifact, found: Found, contents: Contents) -> Found:
        with self._store.blobs.opened(file.digest, verified=True) as reader:
            if file.digest in self._unsure:
                found = self._known[file.digest] = _found(reader)
                self._unsure.discard(file.digest)
                if found.contents is None:
                    return found
                contents = found.contents
            contents = digested(reader, contents)
        if LEFT_OUT in contents.warnings:
            return found
        found = self._known[file.digest] = replace(found, contents=contents, digested=True)
        self._remember({file.digest: found})
        return found

    def digested(self, file: Artifact, contents: Contents) -> Contents:
        """Read the bytes of tensors in a file and add their digests."""
        with self._store.blobs.opened(file.digest, verified=True) as reader:
            return digested(reader, contents)

    # --- by digest ---

    def _remembered(self, files: Iterable[Artifact]) -> dict[str, Found]:
        """Give what is remembered of blobs, by digest, as far as memory reaches."""
        found: dict[str, Found] = {}
        asked = {file.digest for file in files} - self._known.keys()
        left = iter(self._store.described(asked) if asked else asked)
        while not self._is_full and (group := list(islice(left, _REMEMBERED_AT_ONCE))):
            for digest, text in self._store.remembered(group).items():
                one = _read(text)
                if one is not None:
                    found[digest] = one
                    self._tensors += _tensors(one)
        return found

    def _remember(self, found: Mapping[str, Found]) -> None:
        """Remember what is in blobs, unless it takes too much space."""
        # NaN may stand in what a config says: that is not JSON, but what `json` reads again.
        texts = {digest: json.dumps(plain(one)) for digest, one in found.items()}
        self._store.remember({d: text for d, text in texts.items() if len(text) < MEMO_BYTES_LIMIT})


def _found(reader: Opened) -> Found:
    try:
        contents = look(reader)
        return Found(contents=contents, scanner=asked(), scanned=opinion(reader, contents))
    except Invalid as error:
        return Found(problem=error.message.removeprefix("the file: "), scanner=asked())


def _tensors(found: Found) -> int:
    return len(found.contents.tensors) if found.contents else 0


def _read(text: str) -> Found | None:
    try:
        found = wire.value(Found, json.loads(text))
    except (ValueError, RecursionError, Invalid):
        return None  # as a Herdbook to come wrote it
    current = found.reader == READER and asked() in {"", found.scanner}
    return found if current else None


def risks(found: Mapping[str, Found]) -> tuple[Risk, ...]:
    """Tell which files a policy has to decide about, by path."""
    why = {path: reasons(one) for path, one in sorted(found.items())}
    return tuple(Risk(path=path, reasons=told) for path, told in why.items() if told)


def reasons(found: Found) -> tuple[str, ...]:
    """Tell why a file may not be welcome."""
    if found.contents is None:
        return (f"its header lies: {found.problem}" if found.problem else NOT_LOOKED,)
    if found.contents.format not in {"onnx", "weights-index"}:
        return found.contents.executable
    named_outside = ((name, outside(name)) for name in found.contents.external)
    led = (f"it refers to {name!r:.120}: the path {why}" for name, why in named_outside if why)
    return (*found.contents.executable, *islice(led, 10))
