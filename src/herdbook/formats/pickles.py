"""Pickles by their opcodes, wherever in a file they begin; none is ever loaded."""

import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from herdbook.errors import Invalid
from herdbook.formats.contents import Contents
from herdbook.formats.opcodes import CODES, class_of, opcodes
from herdbook.formats.reading import CHUNK_BYTES, Cursor, Reader
from herdbook.formats.symbols import UNKNOWN, Machine

OPCODES_LIMIT: Final = 500_000
SEARCHED_OPCODES_LIMIT: Final = 300_000
LINES_BYTES_LIMIT: Final = 64 * 2**20
SEARCHED_BYTES_LIMIT: Final = 64 * 2**20
_LINE_BYTES_AN_OPCODE: Final = 256  # they take about the same time
_LONGEST_NAME: Final = 40
_LONGEST_START: Final = 4_200
_ROW_LIMIT: Final = 1_000
# What may come anywhere, and what may come while there is nothing on the stack.
_ANY: Final = class_of(CODES)
_FIRST: Final = class_of(code for code, what in CODES.items() if not what.stack_before)
# A protocol, a text opcode that imports, or a mark that something is put on; each only before what
# an unpickler would not refuse at once, for random bytes are full of them.
# Three, for each is looked for by its first byte, which is ten times as fast.
_STARTS: Final = (
    re.compile(rb"\x80(?=[\x00-\x05]" + _FIRST + rb")", re.DOTALL),
    re.compile(rb"c(?=[A-Za-z_][\w.]{0,200}\r?\n[A-Za-z_][\w.]{0,200}\r?\n)"),
    re.compile(
        rb"\((?=[VUX]|[ci][\w.?\x80-\xff]{1,4096}\r?\n|S[\"']|I\s*[+-]?\d|F[\s\d+.iInN-]"
        rb"|(?:[lN(\]})]|K.|M..|J.{4}|G.{8})" + _ANY + rb")",
        re.DOTALL,
    ),
)
# What tensors and arrays are made of: named by every harmless file of its kind.
_USUAL: Final = re.compile(
    r"(collections\.OrderedDict|_codecs\.encode|builtins\.set"
    r"|torch\._utils\._rebuild_(tensor|tensor_v2|tensor_v3|parameter)"
    r"|torch\.(\w+Storage|storage\.\w+Storage|Size|device|b?float\d*|double|half|u?int\d+|bool)"
    r"|numpy\.(ndarray|dtype|_?core\.(multiarray\._reconstruct|multiarray\.scalar"
    r"|numeric\._frombuffer)))\Z"
)


_NAME_SHOWN = 80


@dataclass(slots=True)
class Pickle:
    """A run of opcodes.

    Args:
        protocol: what it says, -1 where it says none.
        complete: whether it ends with STOP and one value.
        cut: whether it goes on beyond what is read.
        end: the byte after the last opcode that was read.
        result: what it would build, in symbols.
    """

    start: int
    end: int = 0
    protocol: int = -1
    complete: bool = False
    cut: bool = False
    opcodes: int = 0
    calls: int = 0
    imports: tuple[str, ...] = ()
    result: Any = field(default=UNKNOWN, repr=False)

    @property
    def begins_a_file(self) -> bool:
        """Whether a file that begins so is a pickle, not a text that looks like one."""
        return self.complete or self.dangerous or self.cut

    @property
    def dangerous(self) -> bool:
        """Whether unpickling from here would import something, rather than fail before."""
        if not self.imports or not _can_be_imported(self.imports[0]):
            # Unpickling fails there, before anything else; random bytes hold many such places.
            if not self.imports or not self.complete:
                return False
            # What a program registered by number is imported by any two bytes; called, by few.
            registered = self.imports[0].startswith("copyreg extension")
            return not self.start or (registered and self.calls > 0)
        if self.start and self.protocol < 0 and not self.complete:
            # Any two lines of text look like an import; those that are one have short names.
            names = self.imports[0].split(".")
            return self.calls > 0 and max(map(len, names)) <= _LONGEST_NAME
        return self.protocol >= 0 or self.calls > 0 or self.complete

    @property
    def unusual(self) -> tuple[str, ...]:
        """The imports that tensors and arrays do not need."""
        return tuple(name for name in self.imports if not _USUAL.match(name))


def _can_be_imported(text: str) -> bool:
    return all(word == "?" or word.isidentifier() for word in text.split("."))


def walk(cursor: Cursor, at: int, *, limit: int = OPCODES_LIMIT) -> Pickle:
    """Read a pickle as far as it goes."""
    found, machine, scanned = Pickle(at, end=at), Machine(), cursor.scanned
    cursor.position = at
    try:
        for name, argument in opcodes(cursor):
            machine.step(name, argument)
            if not machine.fits:
                break
            found.opcodes += 1
            found.end = cursor.position
            if name == "PROTO" and found.protocol < 0:
                found.protocol = argument
            if name == "STOP":
                found.complete = machine.whole
            if found.opcodes >= limit or cursor.scanned - scanned > LINES_BYTES_LIMIT:
                found.cut = True
                break
    except Invalid:
        pass  # Whatever comes after a broken place is never reached; what came before is.
    found.calls, found.imports = machine.calls, tuple(machine.imports)
    found.result = machine.result if found.complete else UNKNOWN
    return found


def first(reader: Reader) -> Pickle:
    """Read what may be a pickle at the very beginning."""
    return walk(Cursor(reader), 0)


def row(reader: Reader, found: Pickle) -> Iterator[Pickle]:
    """Give a pickle and those that follow it without a gap."""
    cursor = Cursor(reader)
    for _ in range(_ROW_LIMIT):
        yield found
        if not found.complete or found.end >= reader.size:
            return
        found = walk(cursor, found.end)
        if not found.begins_a_file:
            return


def hidden(reader: Reader, *, start: int = 0) -> tuple[list[Pickle], str]:
    """Look for pickles that begin anywhere from `start` on.

    Returns:
        Those that would import something, and what was left out of the search, or "".
    """
    cursor, budget = Cursor(reader), SEARCHED_OPCODES_LIMIT
    found: list[Pickle] = []
    stop = min(reader.size, start + SEARCHED_BYTES_LIMIT)
    for at in _starts(reader, start, stop):
        scanned = cursor.scanned
        one = walk(cursor, at, limit=budget)
        budget -= one.opcodes + 1 + (cursor.scanned - scanned) // _LINE_BYTES_AN_OPCODE
        if one.dangerous:
            found.append(one)
        if budget <= 0 or len(found) >= _ROW_LIMIT:
            return found, f"the search for pickles was given up at byte {at:,}"
    if stop < reader.size:
        return found, f"pickles were looked for in the first {stop:,} bytes only"
    return found, ""


def _starts(reader: Reader, start: int, stop: int) -> Iterator[int]:
    for at in range(start, stop, CHUNK_BYTES):
        # Chunks overlap so that no start is cut in two.
        data = reader.read_at(at, min(CHUNK_BYTES + _LONGEST_START, reader.size - at))
        found = heapq.merge(*(_all_of(start, data) for start in _STARTS))
        yield from (at + place for place in found if place < CHUNK_BYTES)


def _all_of(start: re.Pattern[bytes], data: bytes) -> Iterator[int]:
    return (match.start() for match in start.finditer(data))


def reasons(pickles: Iterable[Pickle]) -> tuple[str, ...]:
    """Say why loading pickles can run code, and what they import."""
    return tuple(_reason(one) for one in pickles)[:100]


def _reason(one: Pickle) -> str:
    begins = f"a pickle begins at byte {one.start:,}"
    if one.cut and not one.unusual:
        return f"{begins}; it is too long to be read whole"
    if not one.imports:
        return f"{begins}; it imports nothing"
    named = one.unusual or one.imports
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    kind = "" if one.unusual else ", what tensors need"
    return f"{begins} and imports {', '.join(map(_shown, named[:5]))}{more}{kind}"


def _shown(name: str) -> str:
    short = name if len(name) <= _NAME_SHOWN else f"{name[:_NAME_SHOWN]}…"
    return short if short.isascii() and short.isprintable() else ascii(short)


def imports(pickles: Iterable[Pickle]) -> list[str]:
    """Give what pickles import, each once."""
    return list(dict.fromkeys(name for one in pickles for name in one.imports))[:1_000]


def read(reader: Reader, found: Pickle) -> Contents:
    """Describe a file that begins with a pickle."""
    in_row = list(row(reader, found))
    more, left_out = hidden(reader, start=in_row[-1].end)
    every = in_row + more
    cut = ["only the first opcodes of a pickle were read"] if any(p.cut for p in every) else []
    return Contents(
        format="pickle",
        executable=reasons(every),
        warnings=tuple(cut + [text for text in (left_out,) if text]),
        details={"imports": imports(every), "protocol": found.protocol, "pickles": len(every)},
    )
