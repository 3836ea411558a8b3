"""One journal: its file, its labels, its state, and the reading of its records."""

import json
import mmap
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, fields
from itertools import chain
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from herdbook.errors import Corrupt
from herdbook.services.columns import RECORD, SIZE
from herdbook.services.folding import Label, Meaning, Record, SampleLabel
from herdbook.storage.journal import holding
from herdbook.storage.journal.layout import (
    DROPPED_AT,
    ENDED_AT,
    LABELS_AT,
    LABELS_LIMIT,
    NUMBER,
    PAGE,
    STATES_AT,
    Sizes,
    State,
    head,
    read_head,
)

ENDING: Final = ".journal"
# What cannot be read, or what the register refuses.
DAMAGED: Final = ".damaged"
RECORDS: Final = 1 << 18
LABEL_BYTES: Final = 1 << 20
# Records that are copied out of the ring at once.
_PIECE: Final = 4096


class Journal:
    """A journal that this process holds: its own, or that of one that died.

    Attributes:
        path: its file.
        worker: the name of whoever wrote it.
        sizes: how large its parts are.
        owner: who wrote it.
        ring: its memory.
        state: how much of it the register has.
    """

    def __init__(self, path: Path, fd: int) -> None:
        """Map a file that is held; Corrupt."""
        self.path = path
        self._fd = fd
        if os.fstat(fd).st_size < LABELS_AT:
            raise Corrupt("it is too short for a journal")
        self.ring = _mapped(path)
        self.sizes, self.owner = read_head(self.ring[:PAGE])
        if len(self.ring) != self.sizes.total:
            raise Corrupt("it is not as long as it says")
        self.worker = path.name.removesuffix(ENDING)
        found = [State.decoded(self.ring[at : at + PAGE]) for at in STATES_AT]
        whole = [state for state in found if state is not None]
        if not whole:
            raise Corrupt("neither of its states is whole")
        self.state = max(whole, key=lambda state: state.number)
        if not 0 <= self.state.to - self.state.tail <= self.sizes.records:
            raise Corrupt("what is on its way is more than there is")
        self._labels_end = LABELS_AT
        self._dropping = threading.RLock()

    @property
    def is_there(self) -> bool:
        """Whether its file still is where it was."""
        return holding.is_at(self.path, self._fd)

    # --- state ---

    def commit(self, state: State) -> None:
        """Change the state; whoever is killed meanwhile leaves the old one."""
        encoded = state.encoded()
        at = STATES_AT[state.number % 2]
        self.ring[at : at + len(encoded)] = encoded
        self.state = state

    @property
    def dropped(self) -> int:
        """How many results found no room."""
        return int(NUMBER.unpack_from(self.ring, DROPPED_AT)[0])

    def drop(self, count: int = 1) -> None:
        """Count results that found no room."""
        with self._dropping:
            NUMBER.pack_into(self.ring, DROPPED_AT, self.dropped + count)

    @property
    def ended(self) -> bool:
        """Whether its process ended in good order: calls on their way then are nobody's error."""
        return self.ring[ENDED_AT] == 1

    def end(self) -> None:
        """Say that the process ends in good order."""
        self.ring[ENDED_AT] = 1

    # --- labels ---

    def add_label(self, label: Meaning) -> bool:
        """Keep what the next label means; False when there is no room."""
        line = json.dumps(astuple(label), separators=(",", ":")).encode()
        end = self._labels_end + len(line)
        if end + 1 > self.sizes.ring_at:
            return False
        self.ring[self._labels_end : end] = line
        self.ring[end] = 0x0A
        self._labels_end = end + 1
        return True

    def labels(self) -> list[Meaning]:
        """Give what labels mean; the first, which means nothing, included."""
        lines = self.ring[LABELS_AT : self.sizes.ring_at].split(b"\n")[:-1]
        found: list[Meaning] = [Label("", 0, "")]
        for line in lines[:LABELS_LIMIT]:
            try:
                found.append(_meaning(json.loads(line)))
            except (ValueError, TypeError, OverflowError, RecursionError):
                found.append(found[0])
        return found

    # --- records ---

    def lap(self, place: int) -> int:
        """Give the number that a record at a place ends with."""
        return place // self.sizes.records + 1 & 0xFFFFFFFF

    def offset(self, place: int) -> int:
        """Give where a place is in the file."""
        return self.sizes.ring_at + place % self.sizes.records * SIZE

    def written(self, start: int, stop: int) -> int:
        """Give the place up to which every record is there."""
        for first, last in self._pieces(start, stop):
            laps = self._laps(first, last)
            lap = self.lap(first)
            if laps.count(lap) < len(laps):
                return first + next(at for at, found in enumerate(laps) if found != lap)
        return stop

    def last(self) -> int:
        """Give the end of the last record that is there, for a journal nobody writes."""
        start, end = self.state.tail, self.state.to
        for first, last in self._pieces(start, start + self.sizes.records):
            laps, lap = self._laps(first, last), self.lap(first)
            if lap in laps:
                end = max(end, last - laps[::-1].index(lap))
        return end

    def records(self, start: int, stop: int) -> Iterable[Record]:
        """Give the records between two places that are there."""
        return chain.from_iterable(map(RECORD.iter_unpack, self.pieces(start, stop)))

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """Give the records between two places that are there, as they lie in the ring."""
        return (self._whole(*piece) for piece in self._pieces(start, stop))

    def _whole(self, first: int, last: int) -> bytes:
        at, lap = self.offset(first), self.lap(first)
        piece = self.ring[at : at + (last - first) * SIZE]
        laps = _laps(piece)
        if laps.count(lap) == len(laps):
            return piece
        kept = (at * SIZE for at, found in enumerate(laps) if found == lap)
        return b"".join(piece[at : at + SIZE] for at in kept)

    def _laps(self, first: int, last: int) -> list[int]:
        at = self.offset(first)
        return _laps(self.ring[at : at + (last - first) * SIZE])

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Cut a range so that no part goes over the ring's end."""
        records = self.sizes.records
        while start < stop:
            end = min(stop, start + _PIECE, (start // records + 1) * records)
            yield start, end
            start = end

    # --- end ---

    def remove(self) -> None:
        """Remove the file, and let go."""
        self.path.unlink(missing_ok=True)
        self.close()

    def set_aside(self) -> Path:
        """Leave the file for a person to look at; gives where it is."""
        aside = self.path.with_suffix(DAMAGED)
        self.path.rename(aside)
        self.close()
        return aside

    def close(self) -> None:
        """Let go: from now on whoever looks takes it for a dead one's."""
        # Not the map: a thread may be writing into it at this moment.
        holding.let_go(self._fd)


def _meaning(words: list[Any]) -> Meaning:
    """Read a label: four words are an arm's, five those of a stream of samples."""
    if len(words) == len(fields(Label)):
        experiment, phase, arm, metric = words
        return Label(str(experiment), int(phase), str(arm), str(metric))
    model, number, stream, category, served = words
    category = None if category is None else str(category)
    return SampleLabel(str(model), str(number), str(stream), category, bool(served))


def _laps(piece: bytes) -> list[int]:
    """Give the numbers that records end with."""
    words = SIZE // 4
    return memoryview(piece).cast("I")[words - 1 :: words].tolist()


def create(
    folder: Path,
    labels: Iterable[Meaning],
    *,
    owner: Mapping[str, str],
    sizes: Sizes | None = None,
) -> Journal:
    """Make a journal, with room on the disk for all that will be written into it.

    Args:
        folder: where; made when it is missing.
        labels: what labels mean from 1 on.
        owner: the register it is for, and as whom.
        sizes: how large, the usual sizes when left out.

    Raises:
        OSError: the disk is full, or the folder may not be written.
    """
    sizes = sizes or Sizes(records=RECORDS, labels=LABEL_BYTES)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    first = head(sizes, {**owner, "pid": os.getpid()})
    journal = None
    while journal is None:
        # Whoever sweeps up took it for a dead one's, just before it was locked: once more.
        journal = _made(folder / f"w{uuid4().hex}{ENDING}", first, sizes)
    for label in labels:
        journal.add_label(label)
    return journal


def _made(path: Path, first: bytes, sizes: Sizes) -> Journal | None:
    begun = path.with_suffix(".new")
    fd = None
    try:
        _write(begun, first, sizes)
        fd = holding.held(begun)
        if fd is None:
            return None
        begun.rename(path)
        return Journal(path, fd)
    except BaseException:
        begun.unlink(missing_ok=True)
        if fd is not None:
            holding.let_go(fd)
        raise


def _mapped(path: Path) -> mmap.mmap:
    """Map a file through a description of its own, which holds no lock."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return mmap.mmap(fd, 0)
    finally:
        os.close(fd)


def _write(path: Path, first: bytes, sizes: Sizes) -> None:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        # A disk that is full is found now, not by a signal while somebody records.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, sizes.total)
        else:
            _fill(fd, sizes.total)
        os.pwrite(fd, first, 0)
        os.pwrite(fd, State(number=1).encoded(), STATES_AT[1])
    finally:
        os.close(fd)


def _fill(fd: int, size: int) -> None:
    for at in range(0, size, PAGE):
        os.pwrite(fd, bytes(min(PAGE, size - at)), at)
