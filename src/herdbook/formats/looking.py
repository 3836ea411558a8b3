"""Which format bytes are in, by the bytes; a name can add suspicion but never take it away."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from herdbook.errors import HerdbookError, Invalid
from herdbook.formats import (
    archives,
    compressed,
    configs,
    gguf,
    keras,
    npy,
    onnx,
    pickles,
    safetensors,
    texts,
    torch,
    zips,
)
from herdbook.formats.contents import Contents
from herdbook.formats.reading import Reader

# What was found by another reader is looked for again: raised with whatever reads more or better.
READER: Final = 1
HEAD_BYTES: Final = 4_096
_DEPTH_LIMIT: Final = 3
_PROGRAMS: Final = {
    b"\x7fELF": "it is a program or library for Linux",
    b"MZ": "it is a program or library for Windows",
    b"\xca\xfe\xba\xbe": "it is a program or library for macOS, or Java code",
    b"\xcf\xfa\xed\xfe": "it is a program or library for macOS",
    b"#!": "it is a script",
}
_CODE: Final = {".py": "Python code", ".pyc": "Python code", ".ipynb": "a notebook", ".R": "R code"}


def look(reader: Reader, name: str = "") -> Contents:
    """Look into a file without executing anything.

    Args:
        reader: its bytes.
        name: its path within the version, for messages and for what only names tell apart.

    Raises:
        Invalid: it is of a known format and its header lies.
        HerdbookError: what the reader raises.
    """
    try:
        found = _look(reader, depth=0)
    except Invalid as error:
        called = name or "the file"
        raise Invalid(f"{called}: {error.message}", field=error.field) from None
    return named(found, name)


def named(found: Contents, name: str) -> Contents:
    """Add what only a file's name tells; all else follows from its bytes alone."""
    code = next((what for end, what in _CODE.items() if name.endswith(end)), "")
    if code:
        found = replace(found, executable=(*found.executable, f"it is {code}, by its name"))
    return found


def _look(reader: Reader, *, depth: int) -> Contents:
    head = reader.read_at(0, min(HEAD_BYTES, reader.size))
    if not head:
        return Contents(format="empty")
    found = _by_magic(reader, head, depth)
    if found is None:
        first = pickles.first(reader)
        if first.begins_a_file:
            legacy = torch.is_legacy(first)
            found = torch.read_legacy(reader, first) if legacy else pickles.read(reader, first)
            return _also_zip(reader, found, depth)
    return found or _by_structure(reader, head) or _unknown(reader, head, depth)


def _by_magic(reader: Reader, head: bytes, depth: int) -> Contents | None:
    for magic, read in _MAGIC.items():
        if head.startswith(magic):
            return read(reader)
    if head.startswith((zips.LOCAL, b"PK\5\6")):
        return _zip(reader, depth)
    if keras.is_hdf5(reader):
        return keras.read_hdf5(reader)
    for magic, reason in _PROGRAMS.items():
        if head.startswith(magic):
            return Contents(format="program", executable=(reason,))
    return compressed.read(reader, head)


_MAGIC: Final[dict[bytes, Callable[[Reader], Contents]]] = {
    gguf.MAGIC: gguf.read,
    npy.MAGIC: npy.read,
}


def _by_structure(reader: Reader, head: bytes) -> Contents | None:
    text = texts.is_text(head)
    if not text and safetensors.is_safetensors(head):
        return safetensors.read(reader)
    if onnx.begins_as_onnx(head) or (not text and onnx.is_onnx(reader)):
        return onnx.read(reader)
    if head.lstrip()[:1] in {b"{", b"["}:
        return configs.read(reader)
    return None


def _unknown(reader: Reader, head: bytes, depth: int) -> Contents:
    card = texts.model_card(reader.read_at(0, min(reader.size, texts.HEAD_BYTES)))
    found, left_out = pickles.hidden(reader)
    kind = "text" if texts.is_text(head) else "unknown"
    said = replace(
        card or Contents(format=kind),
        executable=pickles.reasons(found),
        warnings=(left_out,) if left_out else (),
    )
    if found:
        said = replace(said, details={**said.details, "imports": pickles.imports(found)})
    if "given up" in left_out:
        # Whoever makes the search too long must not gain by it.
        said = replace(said, executable=(*said.executable, left_out))
    return _also_zip(reader, said, depth)


def _zip(reader: Reader, depth: int) -> Contents:
    if depth >= _DEPTH_LIMIT:
        return Contents(format="zip", warnings=("archives in archives were not looked into",))
    return archives.read(reader, lambda inside: _look(inside, depth=depth + 1))


def _also_zip(reader: Reader, found: Contents, depth: int) -> Contents:
    """Add what a zip archive behind other bytes holds: some programs read files from the end."""
    if not zips.is_zip(reader):
        return found
    try:
        behind = _zip(reader, depth)
    except HerdbookError as error:
        return replace(found, warnings=(*found.warnings, f"it ends as a zip: {error}"))
    return replace(
        found,
        executable=(*found.executable, *behind.executable),
        warnings=(*found.warnings, "it ends as a zip archive", *behind.warnings),
    )
