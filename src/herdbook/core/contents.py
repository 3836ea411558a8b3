"""What is inside a version, and what changed between two."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from herdbook.core.wire import LATER


@dataclass(frozen=True, slots=True, kw_only=True)
class FileInside:
    """What is in one file.

    Args:
        path: where it is within the version.
        size: its bytes.
        digest: of those bytes.
        role: what it is for.
        format: what its bytes are, whatever its name; "unknown" when they are nothing known here.
        parameters: how many numbers its tensors hold.
        tensors: how many those are.
        executable: why loading it can run code; empty when nothing says so, which clears nothing.
        external: what it refers to outside of itself.
        warnings: what is odd, or was not looked at.
        problem: why its header cannot be believed; what else is said of it is empty then.
    """

    path: str
    size: int
    digest: str
    role: str
    format: str = "unknown"
    parameters: int = 0
    tensors: int = 0
    executable: tuple[str, ...] = ()
    external: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What is inside a version.

    Args:
        ref: the version, `model:number`.
        manifest: the digest of its files' manifest.
        size: the bytes of all files.
        format: what its weights are.
        architecture: the class or family of the model, in the words of its files.
        parameters: how many numbers its tensors hold; a copy in a second format is not counted.
        tensors: how many tensors those are.
        dtypes: how many of the parameters have which type.
        quantization: the scheme, or "".
        labels: the classes a classifier tells apart, by index.
        licence: as its files name it, or "".
        warnings: what does not fit together between its files.
        files: each, by path.
    """

    ref: str
    manifest: str
    size: int
    format: str = "unknown"
    architecture: str = ""
    parameters: int = 0
    tensors: int = 0
    dtypes: Mapping[str, int] = field(default_factory=dict)
    quantization: str = ""
    labels: tuple[str, ...] = ()
    licence: str = ""
    warnings: tuple[str, ...] = ()
    files: tuple[FileInside, ...] = ()

    @property
    def executable(self) -> Mapping[str, tuple[str, ...]]:
        """The files whose loading can run code, and why."""
        return {file.path: file.executable for file in self.files if file.executable}


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """Why a file may not be welcome: what the file policy of its model decides about.

    Args:
        path: the file.
        reasons: why, each a sentence without its subject; never empty.
    """

    path: str
    reasons: tuple[str, ...]

    @property
    def text(self) -> str:
        """It as one line."""
        return f"{self.path}: {'; '.join(self.reasons)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """A file that is not the same in two versions.

    Args:
        path: where it is in the new version, or was in the old one when it was removed.
        what: "added", "removed", "changed" or "renamed".
        size: its bytes in the new version; 0 when it was removed.
        old_size: its bytes in the old version; 0 when it was added.
        old_path: where it was, when it was renamed.
        by_tensor: whether what changed in it is told tensor by tensor.
    """

    path: str
    what: str
    size: int = 0
    old_size: int = 0
    old_path: str = ""
    by_tensor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorChange:
    """A tensor that is not the same in two versions.

    Args:
        name: its name, with the folder it is in.
        what: "added", "removed", or the first of "dtype", "shape" and "bytes" that differs.
        dtype: its type in the new version, in the old one when it was removed.
        shape: likewise.
        size: its bytes, likewise.
        old_dtype: its type before, when that differs.
        old_shape: its shape before, when that differs.
        distance: the Euclidean norm of new - old over that of old, for floating-point tensors
            of equal type and shape; None where it is not known, or not a finite number.
    """

    name: str
    what: str
    dtype: str
    shape: tuple[int, ...]
    size: int
    old_dtype: str = field(default="", metadata=LATER)
    old_shape: tuple[int, ...] = field(default=(), metadata=LATER)
    distance: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What changed from one version to another.

    Args:
        old: the one, `model:number`.
        new: the other.
        files: what is not the same, by path.
        same_files: how many files are the same at the same path.
        labels_added: classes the new one tells apart and the old one does not.
        labels_removed: the reverse.
        labels_moved: classes of both that have another index now.
        tensors: what is not the same, in the order of the new version; the first 10,000.
        added_tensors: how many the old one does not have.
        removed_tensors: how many the new one does not have.
        changed_tensors: how many both have, and not the same.
        same_tensors: how many are equal, byte by byte.
        undecided_tensors: of equal type and shape, and not compared; `notes` say why.
        all_tensors: how many the new version has.
        changed_bytes: the bytes of those changed, as they are now.
        notes: what could not be told, and how to have it told.
    """

    old: str
    new: str
    files: tuple[FileChange, ...] = ()
    same_files: int = 0
    labels_added: tuple[str, ...] = ()
    labels_removed: tuple[str, ...] = ()
    labels_moved: tuple[str, ...] = ()
    tensors: tuple[TensorChange, ...] = ()
    added_tensors: int = 0
    removed_tensors: int = 0
    changed_tensors: int = 0
    same_tensors: int = 0
    undecided_tensors: int = 0
    all_tensors: int = 0
    changed_bytes: int = 0
    notes: tuple[str, ...] = ()
