"""What changed between two versions: files by their digests, tensors by theirs."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Final

from herdbook.core.artifacts import Artifact, Files
from herdbook.core.blobs import Blobs, Opened
from herdbook.core.contents import Changes, FileChange, TensorChange
from herdbook.formats import Contents, Tensor, distances, survey
from herdbook.formats.digests import LEFT_OUT
from herdbook.services.examination import Examiner, Found

SHOWN_TENSORS: Final = 10_000
_NOTES_LIMIT: Final = 100


@dataclass(frozen=True)
class Side:
    """One of the two versions.

    Args:
        files: its files.
        found: what is known to be in each, by path.
    """

    files: Files
    found: Mapping[str, Found]

    @cached_property
    def by_path(self) -> dict[str, Artifact]:
        """The files, by path."""
        return {file.path: file for file in self.files.files}

    @cached_property
    def whole(self) -> Contents:
        """The version as one."""
        return survey({p: f.contents for p, f in self.found.items() if f.contents is not None})

    def place(self, tensor: Tensor) -> tuple[str, int, int] | None:
        """Give where the bytes of a tensor are, by digest; None where that is not one run."""
        file = self.by_path.get(tensor.file)
        if file is None or tensor.start >= tensor.end or tensor.end > file.size:
            return None
        return file.digest, tensor.start, tensor.end


def file_changes(old: Files, new: Files) -> tuple[FileChange, ...]:
    """Compare files by path; one that is gone and is there under another path is renamed."""
    before = {file.path: file for file in old.files}
    after = {file.path: file for file in new.files}
    gone: dict[str, list[Artifact]] = {}
    for file in old.files:
        if file.path not in after:
            gone.setdefault(file.digest, []).append(file)
    made = [_made(file, before.get(file.path), gone) for file in new.files]
    left = [file for files in gone.values() for file in files]
    removed = (FileChange(path=f.path, what="removed", old_size=f.size) for f in left)
    return tuple(sorted([*filter(None, made), *removed], key=lambda change: change.path))


def _made(
    file: Artifact, before: Artifact | None, gone: Mapping[str, list[Artifact]]
) -> FileChange | None:
    if before is not None:
        if before.digest == file.digest:
            return None
        return FileChange(path=file.path, what="changed", size=file.size, old_size=before.size)
    if gone.get(file.digest):
        was = gone[file.digest].pop(0).path
        return FileChange(
            path=file.path, what="renamed", size=file.size, old_size=file.size, old_path=was
        )
    return FileChange(path=file.path, what="added", size=file.size)


class Comparison:
    """Compares what is in two versions.

    Args:
        examiner: looks into files.
        blobs: where they are.
        old: the one.
        new: the other.
        quick: read no bytes of tensors; compare by what is remembered.
    """

    def __init__(
        self, examiner: Examiner, blobs: Blobs, old: Side, new: Side, *, quick: bool
    ) -> None:
        self._examiner = examiner
        self._blobs = blobs
        self._old, self._new = old, new
        self._quick = quick
        self._notes: dict[str, None] = {}
        self._digests: dict[tuple[str, int, int], str] = {}

    def changes(self) -> Changes:
        """Give what changed."""
        old, new = self._old, self._new
        listed, same, undecided = self._tensors()
        files = tuple(self._by_tensor(c, undecided) for c in file_changes(old.files, new.files))
        apart = {file.path for file in files}
        count = Counter(change.what for change in listed)
        within = [change for change in listed if change.what not in {"added", "removed"}]
        before, after = old.whole.labels, new.whole.labels
        shared = set(before) & set(after)
        at = {label: place for place, label in enumerate(before)}
        self._tell_problems()
        return Changes(
            old=old.files.ref,
            new=new.files.ref,
            files=files,
            same_files=sum(file.path not in apart for file in new.files.files),
            labels_added=tuple(label for label in after if label not in shared),
            labels_removed=tuple(label for label in before if label not in shared),
            labels_moved=tuple(x for n, x in enumerate(after) if x in shared and at[x] != n),
            tensors=tuple(listed[:SHOWN_TENSORS]),
            added_tensors=count["added"],
            removed_tensors=count["removed"],
            changed_tensors=len(within),
            same_tensors=same,
            undecided_tensors=undecided,
            all_tensors=len(new.whole.tensors),
            changed_bytes=sum(change.size for change in within),
            notes=tuple(self._notes)[:_NOTES_LIMIT],
        )

    def _by_tensor(self, change: FileChange, undecided: int) -> FileChange:
        held = (any(t.file == change.path for t in s.whole.tensors) for s in (self._old, self._new))
        known = change.what == "changed" and not undecided and all(held)
        return replace(change, by_tensor=known)

    def _tell_problems(self) -> None:
        for side in (self._old, self._new):
            for path, found in side.found.items():
                if found.problem:
                    self._note(f"{side.files.ref} {path}: its header lies: {found.problem}")
                elif not found.looked and not self._quick:
                    self._note(f"{side.files.ref} {path} was not looked into; ask again")

    def _note(self, text: str) -> None:
        self._notes[text] = None

    # --- tensors ---

    def _tensors(self) -> tuple[list[TensorChange], int, int]:
        before = {tensor.name: tensor for tensor in self._old.whole.tensors}
        after = self._new.whole.tensors
        pairs = [(before[new.name], new) for new in after if new.name in before]
        self._digest(pairs)
        verdicts = {new.name: self._verdict(old, new) for old, new in pairs}
        apart = [pair for pair in pairs if verdicts[pair[1].name] == "bytes"]
        distance = {} if self._quick else self._distances(apart)
        listed = []
        for new in after:
            what = verdicts.get(new.name, "added")
            if what in {"", "undecided"}:
                continue
            listed.append(_change(before.get(new.name), new, what, distance.get(new.name)))
        there = {tensor.name for tensor in after}
        gone = [tensor for name, tensor in before.items() if name not in there]
        listed += [_change(None, tensor, "removed", None) for tensor in gone]
        told = list(verdicts.values())
        return listed, told.count(""), told.count("undecided")

    def _verdict(self, old: Tensor, new: Tensor) -> str:
        if old.dtype != new.dtype:
            return "dtype"
        if old.shape != new.shape:
            return "shape"
        one, other = self._old.place(old), self._new.place(new)
        if 0 in new.shape or (one is not None and one == other):
            return ""
        left, right = old.digest or self._known(one), new.digest or self._known(other)
        if not left or not right:
            return "undecided"
        return "" if left == right else "bytes"

    def _known(self, place: tuple[str, int, int] | None) -> str:
        return self._digests.get(place, "") if place else ""

    def _digest(self, pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Find the digests of tensors that may be the same, a file at a time."""
        alike = [pair for pair in pairs if self._verdict(*pair) == "undecided"]
        if self._quick:
            return
        for side, at in ((self._old, 0), (self._new, 1)):
            wanted: dict[str, list[Tensor]] = {}
            for pair in alike:
                if side.place(pair[at]):
                    wanted.setdefault(pair[at].file, []).append(pair[at])
            for path, tensors in wanted.items():
                self._digest_file(side, path, tensors)

    def _digest_file(self, side: Side, path: str, tensors: Sequence[Tensor]) -> None:
        file = side.by_path[path]
        own = side.found[path].contents if path in side.found else None
        if own is not None and own.tensors:
            done = self._examiner.digest(file)
        else:
            # Such as the data of an ONNX file, which says itself nothing of what is in it.
            here = tuple(replace(tensor, file="", digest="") for tensor in tensors)
            done = self._examiner.digested(file, Contents(format="", tensors=here)).tensors
        if not any(tensor.digest for tensor in done):
            self._note(LEFT_OUT)
        self._digests |= {(file.digest, t.start, t.end): t.digest for t in done}

    # --- how far they moved ---

    def _distances(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> dict[str, float]:
        fit = [pair for pair in pairs if distances.can_tell(*pair)]
        if fit and not distances.available():
            self._note(distances.LEFT_OUT)
            return {}
        found: dict[str, float] = {}
        # Two files at a time: a version may have more of them than a process may open.
        for _, pairs_of_files in groupby(sorted(fit, key=_files_of), _files_of):
            group = list(pairs_of_files)
            with (
                self._opened(self._old, group[0][0]) as before,
                self._opened(self._new, group[0][1]) as after,
            ):
                for old, new in group:
                    told = distances.distance((before, old), (after, new))
                    if told is not None:
                        found[new.name] = told
        return found

    def _opened(self, side: Side, tensor: Tensor) -> AbstractContextManager[Opened]:
        return self._blobs.opened(side.by_path[tensor.file].digest)


def _files_of(pair: tuple[Tensor, Tensor]) -> tuple[str, str]:
    return pair[0].file, pair[1].file


def _change(old: Tensor | None, new: Tensor, what: str, distance: float | None) -> TensorChange:
    return TensorChange(
        name=new.name,
        what=what,
        dtype=new.dtype,
        shape=new.shape,
        size=new.end - new.start,
        old_dtype=old.dtype if old and old.dtype != new.dtype else "",
        old_shape=old.shape if old and old.shape != new.shape else (),
        distance=distance,
    )
