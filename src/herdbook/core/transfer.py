"""Moving a register out and in: one file of JSON lines.

    {"kind":"header","format":"herdbook-export","version":1,"head":{"seq":…,"hash":"…"}}
    {"kind":"model",…} … {"kind":"version",…} … {"kind":"event",…}
    {"kind":"end","counts":{…},"sha256":"…"}

The kinds come in the order of `KINDS`. Lines are ASCII, so that no reader takes a character
inside a text for the end of a line. The last line counts the others and carries the SHA-256
of all of them, each with a line feed. A register without bytes, experiments, drift or documents
has no lines and no count of them, so that its export is what it was before there were any.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from herdbook.core import wire
from herdbook.core.events import GENESIS, Checkpoint, event_hash
from herdbook.core.wire import canonical, time_text, time_value
from herdbook.errors import Corrupt, HerdbookError, Invalid

T = TypeVar("T")

FORMAT = "herdbook-export"
FORMAT_VERSION = 1
# What a line may be, in the order of the file, with the plural its count goes by.
KINDS: Final[dict[str, str]] = {
    "model": "models",
    "manifest": "manifests",
    "signature": "signatures",
    "version": "versions",
    "metric": "metrics",
    "operational": "operational",
    "alias": "aliases",
    "move": "moves",
    "experiment": "experiments",
    "batch": "batches",
    "delta": "deltas",
    "worker": "workers",
    "drift_settings": "drift_settings",
    "episode": "episodes",
    "monitor": "monitors",
    "drift_hour": "drift_hours",
    "drift_score": "drift_scores",
    "mark": "marks",
    "migration": "migrations",
    "shard": "shards",
    "reject": "rejects",
    "tombstone": "tombstones",
    "collection": "collections",
    "event": "events",
}
# Kinds that came later: they are counted only where they are.
LATER: Final = frozenset(
    {
        *("manifest", "signature", "experiment", "batch", "delta", "worker"),
        *("drift_settings", "episode", "monitor", "drift_hour", "drift_score", "mark"),
        *("migration", "shard", "reject", "tombstone", "collection"),
    }
)
# Kinds of which one line may have megabytes, and how many of them memory is asked to hold.
LONG: Final = {
    **dict.fromkeys(("manifest", "signature", "experiment", "batch", "delta"), 10),
    "monitor": 10,
    "drift_hour": 100,
    "migration": 10,
    # With the map its queries pass: some of those have tens of megabytes.
    "collection": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What an import did.

    Args:
        counts: how many of each kind of thing were taken.
        notes: what could not be taken as it was, and what became of it; one sentence each.
        dry_run: whether nothing was written.
    """

    counts: Mapping[str, int]
    notes: tuple[str, ...] = field(default=())
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """One line of an export between the first and the last.

    Args:
        kind: one of `KINDS`.
        line: its place in the file, from 1.
        body: what it says.
    """

    kind: str
    line: int
    body: Mapping[str, Any]

    def invalid(self, told: str) -> Invalid:
        """Give the error that names this line."""
        return Invalid(f"line {self.line}: {told}", field=f"line {self.line}")

    def value(self, kind: type[T], data: object) -> T:
        """Read a value of a kind from what the line says; Invalid."""
        try:
            return wire.value(kind, data)
        except Invalid as error:
            raise self.invalid(str(error)) from error

    def text(self, name: str) -> str:
        """Give a text the line says; Invalid when it does not."""
        found = self.body.get(name)
        if not isinstance(found, str):
            raise self.invalid(f"{name} is missing")
        return found


class _Seal:
    """What the last line says of the lines before it."""

    def __init__(self) -> None:
        self.counts = {plural: 0 for kind, plural in KINDS.items() if kind not in LATER}
        self._sum = hashlib.sha256()

    def add(self, line: str) -> str:
        self._sum.update(line.encode() + b"\n")
        return line

    def count(self, kind: str) -> None:
        self.counts[KINDS[kind]] = self.counts.get(KINDS[kind], 0) + 1

    def end(self) -> dict[str, object]:
        return {"kind": "end", "counts": self.counts, "sha256": self._sum.hexdigest()}


def framed(entries: Iterable[tuple[str, str]], *, head: Checkpoint) -> Iterator[str]:
    """Give the lines of an export, without line feeds.

    Args:
        entries: kind and JSON object of each record, in the order of `KINDS`.
        head: where the audit log stands.
    """
    seal = _Seal()
    header = {"format": FORMAT, "version": FORMAT_VERSION, "head": {"seq": head.seq}}
    header["head"] |= {"hash": head.hash}  # type: ignore[operator]
    yield seal.add(_compact({"kind": "header"} | header))
    for kind, text in entries:
        seal.count(kind)
        yield seal.add(f'{{"kind":"{kind}",{_ascii(text)[1:]}')
    yield _compact(seal.end())


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _ascii(text: str) -> str:
    return text if text.isascii() else _compact(json.loads(text))


def records(lines: Iterable[str]) -> Iterator[Record]:
    """Read an export, checking it as it goes, in constant memory.

    Args:
        lines: with or without their line feeds.

    Raises:
        Invalid: it is no export, of another version, or a line is not what it must be.
        Corrupt: it was cut off or changed, or its audit log does not verify.
    """
    seal, log, rank = _Seal(), _Log(), 0
    numbered = enumerate((line.rstrip("\r\n") for line in lines), start=1)
    head = _header(seal, next(numbered, (1, "")))
    for number, line in numbered:
        body = _object(line, number)
        kind = body.get("kind")
        if kind == "end":
            _check_end(body, seal, number)
            log.check_head(head)
            _refuse_more(numbered)
            return
        rank = _check_order(kind, rank, number)
        seal.add(line)
        seal.count(str(kind))
        if kind == "event":
            log.check(body, number)
        yield Record(str(kind), number, body)
    raise Corrupt(
        f"the export ends after line {sum(seal.counts.values()) + 1} without its last line: it "
        "was cut off; export the register again"
    )


def _header(seal: _Seal, first: tuple[int, str]) -> Checkpoint:
    number, line = first
    header = _object(line, number) if line.startswith("{") else {}
    if header.get("kind") != "header" or header.get("format") != FORMAT:
        raise Invalid(
            "this is not an export of Herdbook: its first line is not a header; for a file of "
            "another registry say which with --from",
            field="line 1",
        )
    if header.get("version") != FORMAT_VERSION:
        raise Invalid(
            f"this export is of format {header.get('version')!r:.20}, this Herdbook reads "
            f"{FORMAT_VERSION}; update Herdbook",
            field="line 1",
        )
    seal.add(line)
    try:
        return Checkpoint(int(header["head"]["seq"]), str(header["head"]["hash"]))
    except (KeyError, TypeError, ValueError) as error:
        raise Invalid("line 1: the header does not say where the log stood") from error


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Invalid(
            f"line {number} is not JSON ({error}); was the file changed or cut off?",
            field=f"line {number}",
        ) from error
    if not isinstance(found, dict):
        raise Invalid(f"line {number} is not a JSON object", field=f"line {number}")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _check_order(kind: object, rank: int, number: int) -> int:
    kinds = list(KINDS)
    if kind not in kinds:
        raise Invalid(
            f"line {number} is of the kind {kind!r:.40}, which this Herdbook does not know; "
            f"there are {', '.join(kinds)}",
            field=f"line {number}",
        )
    place = kinds.index(str(kind))
    if place < rank:
        raise Invalid(
            f"line {number}: a {kind} after a {kinds[rank]}; the lines were put in another order",
            field=f"line {number}",
        )
    return place


def _check_end(said: Mapping[str, Any], seal: _Seal, number: int) -> None:
    found = seal.end()
    if said.get("counts") != found["counts"]:
        raise Corrupt(
            f"line {number} counts {_compact(said.get('counts')):.300}, the file holds "
            f"{_compact(found['counts'])}: lines were lost or added"
        )
    if said.get("sha256") != found["sha256"]:
        raise Corrupt(
            f"the SHA-256 in line {number} is not that of the lines before it: the file was "
            "changed after it was written; export the register again"
        )


def _refuse_more(numbered: Iterator[tuple[int, str]]) -> None:
    for number, line in numbered:
        if line:
            raise Corrupt(f"line {number} comes after the last line; were two exports joined?")


class _Log:
    """The audit log of an export, checked event by event."""

    def __init__(self) -> None:
        self._seq, self._hash = 0, GENESIS

    def check(self, event: dict[str, Any], number: int) -> None:
        try:
            problem = self._fault(event)
        except (KeyError, TypeError, ValueError, RecursionError, HerdbookError) as error:
            raise Invalid(f"line {number} is not an event: {error}") from error
        if problem:
            raise Corrupt(f"line {number}: the audit log does not verify: {problem}")
        self._seq, self._hash = event["seq"], event["hash"]

    def _fault(self, event: dict[str, Any]) -> str:
        said = {name: event[name] for name in ("at", "by", "action", "model", "number")}
        if not all(isinstance(text, str) for text in said.values()):
            raise TypeError("its fields must be texts")
        if event["seq"] != self._seq + 1:
            return f"event {self._seq + 1} is missing"
        if event["previous"] != self._hash or time_text(time_value(said["at"])) != said["at"]:
            return f"event {event['seq']} does not follow the one before it"
        own = event_hash(
            **said, seq=event["seq"], body=canonical(event["body"]), previous=self._hash
        )
        return "" if own == event["hash"] else f"event {event['seq']} was changed"

    def check_head(self, head: Checkpoint) -> None:
        if head != Checkpoint(self._seq, self._hash):
            raise Corrupt(
                f"the audit log ends at event {self._seq}, the header says {head.seq}: its tail "
                "was cut off or exchanged"
            )
