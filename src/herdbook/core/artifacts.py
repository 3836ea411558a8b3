"""The files of a version: their paths, their digests, and the manifest that names them all.

A manifest is canonical JSON, so that equal files have equal manifests, and an OCI image manifest
as ModelPack lays models out in registries (github.com/modelpack/model-spec). Its digest says
which bytes a version is.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise, takewhile
from pathlib import PurePosixPath
from typing import Any, Final

from herdbook.core import names
from herdbook.core.wire import LATER, canonical
from herdbook.errors import Corrupt, Invalid

FILES_LIMIT: Final = 10_000
PATH_BYTES_LIMIT: Final = 1_024
SEGMENT_BYTES_LIMIT: Final = 255
SIZE_LIMIT: Final = 2**53 - 1
MANIFEST_BYTES_LIMIT: Final = 4 * 1024**2  # what every registry has to take

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE: Final = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.cncf.model.config.v1+json"
FILEPATH: Final = "org.cncf.model.filepath"
ROLE: Final = "dev.herdbook.role"

_LAYER: Final = "application/vnd.cncf.model.{}.v1.raw"
_KINDS: Final = {
    "weights": "weight",
    "config": "weight.config",
    "tokenizer": "weight.config",
    "labels": "weight.config",
    "doc": "doc",
    "code": "code",
    "dataset": "dataset",
}
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}\Z")
_DEVICE: Final = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?\Z")
_FORBIDDEN: Final = frozenset('<>:"|?*\\')
# Blanks and marks that Unicode counts among letters, marks and symbols.
_BLANK: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# Cn: what this Unicode has not assigned yet may have another normal form in the next.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
_WEIGHTS: Final = frozenset(
    {
        *(".safetensors", ".gguf", ".ggml", ".onnx", ".bin", ".pt", ".pth", ".ckpt", ".h5"),
        *(".keras", ".pb", ".tflite", ".pkl", ".pickle", ".joblib", ".skops", ".npy", ".npz"),
        *(".msgpack", ".mlmodel", ".engine", ".data"),
    }
)
_TOKENIZERS: Final = ("vocab", "merges", "spiece", "sentencepiece", "special_tokens_map")


def digest_of(data: bytes) -> str:
    """Give the digest of bytes.

    Example:
        >>> digest_of(b"")
        'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    """
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def blob_digest(text: str, *, field: str = "digest") -> str:
    """Check a digest: `sha256:` and 64 lower-case hexadecimal digits.

    Raises:
        Invalid: it is something else, another algorithm or upper case too.
    """
    if type(text) is not str or not _DIGEST.match(text):
        raise Invalid(
            f"{text!r:.100} is not a digest: write sha256: and 64 lower-case hexadecimal digits",
            field=field,
        )
    return text


def file_path(text: str, *, field: str = "path") -> str:
    """Check the path of a file within a version.

    Relative, segments joined by `/`, NFC, at most 1,024 bytes and 255 a segment. What any of the
    systems it may be written to reads otherwise is refused: `..`, backslashes, drive letters,
    device names, trailing dots and spaces, characters one cannot see.

    Raises:
        Invalid: naming what was wrong.

    Example:
        >>> file_path("onnx/model.onnx")
        'onnx/model.onnx'
    """
    if type(text) is not str or not text:
        raise Invalid("a path must be text such as onnx/model.onnx", field=field)
    absolute = "it is absolute" if text.startswith("/") else ""
    problem = absolute or next(filter(None, map(_wrong_segment, text.split("/"))), None)
    if len(text.encode(errors="replace")) > PATH_BYTES_LIMIT:
        problem = f"it is over {PATH_BYTES_LIMIT:,} bytes"
    elif not problem and unicodedata.normalize("NFC", text) != text:
        problem = "it is not in the normal form NFC"
    if problem:
        raise Invalid(
            f"{text!r:.120} cannot be the path of a file: {problem}; "
            "write a relative one such as onnx/model.onnx",
            field=field,
        )
    return text


def _wrong_segment(segment: str) -> str:  # noqa: PLR0911 - one answer a rule
    if segment in {"", ".", ".."}:
        return f"it has the part {segment!r}"
    if len(segment.encode(errors="replace")) > SEGMENT_BYTES_LIMIT:
        return f"a part is over {SEGMENT_BYTES_LIMIT} bytes"
    if segment[-1] in ". " or segment[0] == " ":
        return f"the part {segment!r:.60} begins with a space, or ends with one or a dot"
    if _DEVICE.match(segment):
        return f"{segment!r:.60} is a device on Windows"
    unfit = next((c for c in segment if c in _FORBIDDEN), "")
    if unfit:
        return f"it holds {unfit}"
    if segment.isascii() and segment.isprintable():
        return ""
    unseen = next(filter(_unseen, segment), "")
    return f"it holds U+{ord(unseen):04X}, a character that cannot be seen" if unseen else ""


def _unseen(char: str) -> bool:
    return char != " " and (unicodedata.category(char) in _UNSEEN or _BLANK.match(char) is not None)


def role_of(path: str) -> str:  # noqa: PLR0911 - one answer a rule
    """Guess what a file is for from its name; who pushes it may say otherwise.

    Example:
        >>> role_of("model.safetensors"), role_of("tokenizer.json"), role_of("notes/x.txt")
        ('weights', 'tokenizer', 'doc')
    """
    at = PurePosixPath(path.lower())
    weighty = ".safetensors" in at.name or ".onnx" in at.name
    if at.suffix in {".py", ".ipynb", ".sh"}:
        return "code"
    if at.suffix in _WEIGHTS or (weighty and at.suffix != ".json"):
        return "weights"
    if "token" in at.stem or at.stem.startswith(_TOKENIZERS):
        return "tokenizer"
    if "labels" in at.stem or "label_map" in at.stem:
        return "labels"
    if at.suffix in {".md", ".txt", ".rst", ".pdf"} or at.stem in {"license", "notice"}:
        return "doc"
    return "config"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A file of a version.

    Args:
        path: where it is within the version.
        size: its bytes.
        digest: of those bytes.
        role: what it is for: weights, config, tokenizer, labels, doc, code, dataset, or a word
            of one's own.
    """

    path: str
    size: int
    digest: str
    role: str

    def __post_init__(self) -> None:
        """Refuse a path that could lead elsewhere, a size or digest that is none."""
        file_path(self.path)
        blob_digest(self.digest)
        names.role_name(self.role)
        if type(self.size) is not int or not 0 <= self.size <= SIZE_LIMIT:
            raise Invalid(
                f"{self.path} has a size that is none: give its bytes, 0 to {SIZE_LIMIT:,}",
                field="size",
            )

    @property
    def media_type(self) -> str:
        """What a registry calls it."""
        return _LAYER.format(_KINDS.get(self.role, "weight.config"))


@dataclass(frozen=True)
class Manifest:
    """Every file of a version, by path.

    Args:
        files: in any order; kept by path, in the order of Unicode's numbers. No two of them, nor
            of the folders they are in, differ only in case.
    """

    files: tuple[Artifact, ...]

    def __post_init__(self) -> None:
        """Refuse none, too many, paths a disk could take for one another, and too long a text."""
        if not 1 <= len(self.files) <= FILES_LIMIT:
            raise Invalid(
                f"{len(self.files):,} files; a version has 1 to {FILES_LIMIT:,}", field="files"
            )
        object.__setattr__(self, "files", tuple(sorted(self.files, key=lambda f: f.path)))
        _refuse_alike([file.path for file in self.files])
        _refuse_long(self.text)

    @property
    def size(self) -> int:
        """The bytes of all files."""
        return sum(file.size for file in self.files)

    @cached_property
    def config(self) -> str:
        """The config ModelPack asks for, as canonical JSON: what the layers are, and no more."""
        layers = [file.digest for file in self.files]
        return canonical(
            {"descriptor": {}, "config": {}, "modelfs": {"type": "layers", "diffIds": layers}}
        )

    @cached_property
    def text(self) -> str:
        """The manifest as canonical JSON."""
        config = self.config.encode()
        return canonical(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "artifactType": ARTIFACT_TYPE,
                "config": {
                    "mediaType": CONFIG_TYPE,
                    "digest": digest_of(config),
                    "size": len(config),
                },
                "layers": [_layer(file) for file in self.files],
            }
        )

    @cached_property
    def digest(self) -> str:
        """The digest of its text: which bytes these are."""
        return digest_of(self.text.encode())

    @classmethod
    def parse(cls, text: str) -> "Manifest":
        """Read a manifest.

        Raises:
            Invalid: it is not one, or not as this writes it.

        Example:
            >>> one = Artifact(path="labels.json", size=2, digest=digest_of(b"{}"), role="labels")
            >>> Manifest.parse(Manifest((one,)).text).files == (one,)
            True
        """
        if type(text) is not str:
            raise Invalid("a manifest is a text", field="manifest")
        _refuse_long(text)
        try:
            layers = json.loads(text)["layers"]
            found = cls(tuple(_file(layer) for layer in layers))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise Invalid("this is no manifest of a version", field="manifest") from None
        if found.text != text:
            raise Invalid(
                "the manifest holds something else than a version's files, or is not canonical",
                field="manifest",
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The files of a version.

    Args:
        ref: the version, `model:number`.
        manifest: the digest of their manifest.
        size: the bytes of all of them.
        files: each, by path.
        signed_by: who sent the signatures of the manifest, oldest first.
    """

    ref: str
    manifest: str
    size: int
    files: tuple[Artifact, ...]
    signed_by: tuple[str, ...] = ()

    def whole(self) -> Manifest:
        """Give the manifest, rebuilt from the files.

        Raises:
            Corrupt: the files are not those of its digest.
        """
        found = Manifest(self.files)
        if found.digest != self.manifest:
            raise Corrupt(
                f"the files said to be those of {self.ref} are not those of its manifest "
                f"{self.manifest}; nothing of them was used"
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Which of the blobs asked for have to be sent."""

    digests: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature of a manifest.

    Args:
        text: a Sigstore bundle as JSON.
        at: when it came.
        by: from whom.
        key: the digest of the trusted key the register has verified it to be by, or "".
    """

    text: str
    at: datetime
    by: str
    key: str = field(default="", metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signatures:
    """The signatures of a manifest, oldest first."""

    manifest: str
    signatures: tuple[Signature, ...]


def _layer(file: Artifact) -> dict[str, Any]:
    return {
        "mediaType": file.media_type,
        "digest": file.digest,
        "size": file.size,
        "annotations": {FILEPATH: file.path, ROLE: file.role},
    }


def _file(layer: Mapping[str, Any]) -> Artifact:
    said = layer["annotations"]
    return Artifact(
        path=said[FILEPATH], size=layer["size"], digest=layer["digest"], role=said[ROLE]
    )


def _refuse_long(text: str) -> None:
    if len(text) > MANIFEST_BYTES_LIMIT:
        raise Invalid(
            f"the manifest has {len(text):,} characters, the limit is {MANIFEST_BYTES_LIMIT:,}; "
            "pack small files into one archive",
            field="files",
        )


def _refuse_alike(paths: Iterable[str]) -> None:
    # Sorted by their parts, paths that could be confused stand side by side.
    known = sorted((_folded(path).split("/"), path) for path in paths)
    for (one, first), (other, second) in pairwise(known):
        pairs = zip(one, other, strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        problem = ""
        if first == second:
            problem = f"{first} is there twice; leave one out"
        elif one == other:
            problem = f"{first} and {second} are one file where case does not count; rename one"
        elif shared == len(one):
            problem = f"{first} is a file, and {second} needs a folder of that name; rename one"
        elif first.split("/")[:shared] != second.split("/")[:shared]:
            problem = (
                f"{first} and {second} are in one folder where case does not count; "
                "write it one way"
            )
        if problem:
            raise Invalid(problem, field="files")


def _folded(path: str) -> str:
    """Give what is equal for paths that differ only in case, as Unicode defines it (D145)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())
