"""The digest of each tensor, so that two versions can be compared tensor by tensor."""

from dataclasses import replace
from typing import Final

from herdbook.formats.contents import Contents, Tensor
from herdbook.formats.reading import Reader, chunks

try:
    from blake3 import blake3
except ImportError:  # the extra `formats` is not installed
    blake3 = None  # type: ignore[assignment,misc]

LEFT_OUT: Final = "tensor digests were left out: pip install 'herdbook[formats]'"


def digested(reader: Reader, contents: Contents) -> Contents:
    """Add the BLAKE3 of each tensor's bytes, read once in pieces of 1 MiB.

    Tensors whose bytes do not lie in this file as one run keep "". Without the package blake3
    nothing is read, and a warning says so.

    Args:
        reader: the file.
        contents: what was found in it.
    """
    if not contents.tensors:
        return contents
    if blake3 is None:
        return replace(contents, warnings=(*contents.warnings, LEFT_OUT))
    left = 2 * reader.size
    known: dict[tuple[int, int], str] = {}
    found: list[Tensor] = []
    for tensor in contents.tensors:
        at = (tensor.start, tensor.end)
        if not _here(tensor, reader):
            found.append(tensor)
            continue
        if at not in known and left >= tensor.end - tensor.start:
            left -= tensor.end - tensor.start
            known[at] = _digest(reader, *at)
        found.append(replace(tensor, digest=known.get(at, "")))
    return replace(contents, tensors=tuple(found), warnings=_warnings(contents, found, reader))


def _warnings(contents: Contents, found: list[Tensor], reader: Reader) -> tuple[str, ...]:
    # Views of one storage may overlap a thousandfold; then reading each would take for ever.
    if all(tensor.digest for tensor in found if _here(tensor, reader)):
        return contents.warnings
    return (*contents.warnings, "tensors overlap so much that not all of them were digested")


def _here(tensor: Tensor, reader: Reader) -> bool:
    empty = 0 in tensor.shape
    return not tensor.file and (tensor.end > tensor.start or empty) and tensor.end <= reader.size


def _digest(reader: Reader, start: int, end: int) -> str:
    machine = blake3()
    for chunk in chunks(reader, start, end):
        machine.update(chunk)
    return f"blake3:{machine.hexdigest()}"
