"""Records as they lie in a journal, and their columns: with numpy where it is installed.

Numpy is imported here alone, and only when there is so much that it is worth it: a process that
records little never pays for it.
"""

import os
import struct
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module, util
from itertools import chain
from typing import Any, Final

from herdbook.services.folding import CONFIDENT, SAMPLED, Record

# unit, time, confidence, label, flags, lap: written in this order. Of a sample: hour, value,
# confidence beside it, label, flags, lap.
RECORD: Final = struct.Struct("=QddHHI")
SIZE: Final = RECORD.size
# Fewer are done sooner one by one.
FEW: Final = 512
# The half of the flags that says whether it is a sample, and how it says so.
_HALF_AT: Final = 26 + (sys.byteorder == "little")
_SAMPLE: Final = SAMPLED >> 8
_TYPES: Final = [
    ("hour", "u8"),
    ("value", "f8"),
    ("confidence", "f8"),
    ("label", "u2"),
    ("flags", "u2"),
    ("lap", "u4"),
]

# What samples of one label in one hour are: label, hour, values, confidences.
Group = tuple[int, int, Any, Any]


# Whoever forks while a thread is halfway through an import has a child that waits for it for ever.
_importing: Final = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_importing.acquire,
        after_in_parent=_importing.release,
        after_in_child=_importing.release,
    )


@cache
def numpy() -> Any:
    """Give numpy, or None where it is not installed."""
    with _importing:
        return import_module("numpy") if util.find_spec("numpy") else None


@cache
def _rows() -> Any:
    return numpy().dtype(_TYPES)


def are_samples(piece: bytes) -> bool:
    """Whether records are samples, all of them."""
    return piece[_HALF_AT::SIZE].count(_SAMPLE) * SIZE == len(piece)


def split(pieces: Iterable[bytes]) -> tuple[Iterable[Record], bytes]:
    """Tell results and what belongs to them from samples: those as records, these as bytes."""
    results: list[Iterable[Record]] = []
    samples: list[bytes] = []
    for piece in pieces:
        kinds = piece[_HALF_AT::SIZE]
        count = kinds.count(_SAMPLE)
        if not count:
            results.append(RECORD.iter_unpack(piece))
        elif count == len(kinds):
            samples.append(piece)
        else:
            found = list(RECORD.iter_unpack(piece))
            results.append([f for f, kind in zip(found, kinds, strict=True) if kind != _SAMPLE])
            kept = (at * SIZE for at, kind in enumerate(kinds) if kind == _SAMPLE)
            samples.append(b"".join(piece[at : at + SIZE] for at in kept))
    return chain.from_iterable(results), b"".join(samples)


def groups(samples: bytes) -> Iterator[Group]:
    """Give samples by label and hour; arrays where they are many, else lists."""
    many = len(samples) >= FEW * SIZE
    return _fast(samples) if many and numpy() else _plain(samples)


def _plain(samples: bytes) -> Iterator[Group]:
    found: dict[tuple[int, int], tuple[list[float], list[float]]] = {}
    for hour, value, confidence, label, flags, _ in RECORD.iter_unpack(samples):
        group = found.get((label, hour))
        if group is None:
            group = found[label, hour] = [], []
        group[0].append(value)
        if flags & CONFIDENT:
            group[1].append(confidence)
    for (label, hour), (values, confidences) in found.items():
        yield label, hour, values, confidences


def _fast(samples: bytes) -> Iterator[Group]:
    np = numpy()
    rows = np.frombuffer(samples, _rows())
    for hour, of_hour in _apart(np, rows, "hour"):
        for label, of_label in _apart(np, of_hour, "label"):
            sure = of_label["flags"] & CONFIDENT != 0
            yield label, hour, of_label["value"], of_label["confidence"][sure]


def _apart(np: Any, rows: Any, name: str) -> Iterator[tuple[int, Any]]:
    """Give rows by what they have in a column."""
    column = rows[name]
    first = column[0]
    if (column == first).all():
        yield int(first), rows
        return
    # A stable order of short numbers is found in linear time, and keeps that of the values.
    order = np.argsort(column, kind="stable")
    ordered = column[order]
    starts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    for part in np.split(order, starts):
        yield int(column[part[0]]), rows[part]


def numbers(values: Any) -> Any | None:
    """Give many numbers as an array; None where numpy is not installed or not all are numbers."""
    np = numpy()
    if np is None:
        return None
    try:
        found = np.asarray(values, dtype="f8")
    except Exception:  # noqa: BLE001 - a caller's own number may raise anything
        return None
    return found if found.ndim == 1 else None


def write(ring: Any, at: int, lap: int, *, count: int, columns: Sequence[tuple[str, Any]]) -> None:
    """Write records whose places lie side by side, as columns, the number of the lap last.

    Args:
        ring: what they are written into.
        at: where the first one is.
        lap: the number they end with.
        count: how many.
        columns: name and what to write, one for all or one for each.
    """
    rows = numpy().frombuffer(ring, _rows(), count, at)
    for name, values in columns:
        rows[name] = values
    rows["lap"] = lap
