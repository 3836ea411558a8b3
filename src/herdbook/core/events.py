"""The audit log: append-only, each event bound to the one before it by a hash.

    hash(n) = SHA-256(canonical JSON of [seq, at, by, action, model, number, body, hash(n-1)])

A chain alone does not show that its tail was cut off or the whole rewritten; a checkpoint
(a sequence number and its hash) kept elsewhere does.
"""

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from herdbook.core import names
from herdbook.core.wire import canonical, time_text
from herdbook.errors import Invalid

GENESIS = "0" * 64
# Everything that is ever recorded; a test looks for each in the verbs.
ACTIONS = frozenset(
    {
        "access.refused",
        "alias.moved",
        "artifacts.collected",
        "documents.advanced",
        "documents.bridged",
        "documents.cut_over",
        "documents.identified",
        "documents.paused",
        "documents.planned",
        "documents.registered",
        "documents.removed",
        "documents.resumed",
        "documents.retired",
        "documents.rolled_back",
        "documents.unbridged",
        "documents.verified",
        "drift.configured",
        "drift.ended",
        "drift.raised",
        "drift.retrain",
        "drift.retrained",
        "drift.risen",
        "drift.unwatched",
        "drift.watched",
        "experiment.ended",
        "experiment.paused",
        "experiment.resumed",
        "experiment.started",
        "experiment.widened",
        "model.deleted",
        "model.registered",
        "model.restored",
        "model.updated",
        "token.created",
        "token.revoked",
        "version.deleted",
        "version.registered",
        "version.restored",
        "version.revised",
        "version.scored",
        "version.signed",
        "version.status",
        "version.updated",
        "webhook.created",
        "webhook.removed",
    }
)


def action_name(text: str, *, field: str) -> str:
    """Check the name of an action.

    Raises:
        Invalid: nothing of that name is ever recorded; says which come near.
    """
    names.key(text, field=field)
    if text not in ACTIONS:
        near = difflib.get_close_matches(text, sorted(ACTIONS), n=2, cutoff=0.5)
        raise Invalid(
            f"{text!r} is no action; write {' or '.join(near or sorted(ACTIONS))}", field=field
        )
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happened, before it has a place in the log.

    Args:
        action: such as `version.registered`.
        model: the model it concerns, or "".
        number: the version it concerns, or "".
        body: the facts of the change, a JSON object.
    """

    action: str
    model: str = ""
    number: str = ""
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of the audit log.

    Args:
        seq: 1, 2, 3… without a gap.
        at: when; the order is by `seq`, never by time.
        by: who.
        action: such as `version.registered`.
        model: the model it concerns, or "".
        number: the version it concerns, or "".
        body: the facts of the change.
        previous: the hash of the event before, 64 zeros for the first.
        hash: this event's own.
    """

    seq: int
    at: datetime
    by: str
    action: str
    model: str
    number: str
    body: Mapping[str, object]
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the log stood: keep it outside the database."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a verification of the log found.

    Args:
        ok: whether every event checked out.
        events: how many were read.
        head: where the log stands.
        problem: what is wrong, in a sentence, or "".
        seq: the first event at fault, or 0.
    """

    ok: bool
    events: int
    head: Checkpoint
    problem: str = ""
    seq: int = 0


def event_hash(  # noqa: PLR0913, PLR0917 - the fields of an event, in their order
    seq: int,
    at: str,
    by: str,
    action: str,
    model: str,
    number: str,
    body: str,
    previous: str,
) -> str:
    """Give the hash of an event; `body` is its canonical JSON text, `at` ISO 8601."""
    head = json.dumps([seq, at, by, action, model, number], separators=(",", ":"))
    return hashlib.sha256(f"{head}\n{body}\n{previous}".encode()).hexdigest()


def verify(events: Iterable[Event], *, against: Checkpoint | None = None) -> Verdict:
    """Check a log from its first event on, in one pass and constant memory.

    Args:
        events: all of them, in order of `seq`.
        against: a checkpoint exported earlier; finds a tail that was cut off or rewritten.
    """
    seq, previous, seen = 0, GENESIS, against is None or against.seq == 0
    for event in events:
        problem = _fault(event, seq=seq + 1, previous=previous)
        if problem:
            return Verdict(
                ok=False,
                events=seq,
                head=Checkpoint(seq, previous),
                problem=problem,
                seq=seq + 1,
            )
        seq, previous = event.seq, event.hash
        if against is not None and seq == against.seq:
            seen = True
            if previous != against.hash:
                return Verdict(
                    ok=False,
                    events=seq,
                    head=Checkpoint(seq, previous),
                    problem=f"event {seq} is not the one of the checkpoint: history was rewritten",
                    seq=seq,
                )
    head = Checkpoint(seq, previous)
    if not seen and against is not None:
        missing = f"the log ends at event {seq}, the checkpoint is of event {against.seq}"
        return Verdict(
            ok=False,
            events=seq,
            head=head,
            problem=f"{missing}: its tail was cut off",
            seq=seq + 1,
        )
    return Verdict(ok=True, events=seq, head=head)


def _fault(event: Event, *, seq: int, previous: str) -> str:
    if event.seq != seq:
        return f"event {seq} is missing: the next one found is {event.seq}"
    if event.previous != previous:
        return f"event {seq} does not follow the one before it"
    own = event_hash(
        event.seq,
        time_text(event.at),
        event.by,
        event.action,
        event.model,
        event.number,
        canonical(event.body),
        event.previous,
    )
    return "" if own == event.hash else f"event {seq} was changed after it was written"
