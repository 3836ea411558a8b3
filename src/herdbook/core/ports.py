"""What the verbs ask of a database. Each sentence here is a test in `tests/conformance/`.

A store belongs to one unit of work. It sees what that work has written, never commits, and
its collections hold only what the actor of the work may see.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from herdbook.core.access import Actor, Grant, Token
from herdbook.core.deployments import Alias, Holding, Move
from herdbook.core.evaluations import Metric, Observation, Operational, Served
from herdbook.core.events import Change, Checkpoint, Event
from herdbook.core.filters import Query
from herdbook.core.holdings import Artifacts
from herdbook.core.lineage import Dataset, Pedigree, Relative
from herdbook.core.models import Model, Version
from herdbook.core.monitors import Drift
from herdbook.core.moving import Documents
from herdbook.core.numbers import Number
from herdbook.core.pages import Page
from herdbook.core.refs import VersionRef
from herdbook.core.summaries import Totals
from herdbook.core.transfer import Record
from herdbook.core.trials import Experiments
from herdbook.core.webhooks import Delivery, Webhook


class Models(Protocol):
    """The registered models."""

    def get(self, name: str) -> Model:
        """Give a model; NotFound when there is none, Gone when it was deleted."""

    def lock(self, name: str) -> Model:
        """Give a model and keep every other writer of it waiting until this work ends."""

    def exists(self, name: str) -> bool:
        """Whether there is or was a model of that name, deleted ones included."""

    def add(self, model: Model) -> None:
        """Add a model; AlreadyExists when one's name, folded, is the same, even if deleted."""

    def save(self, model: Model) -> None:
        """Write what is known about a model over what was."""

    def page_texts(self, query: Query, *, size: int, page: str | None) -> Page[str]:
        """Give what `page` does as JSON texts, undecoded."""

    def page(self, query: Query, *, size: int, page: str | None) -> Page[Model]:
        """Give the models a query finds, by name unless it orders them."""

    def remove(self, model: Model, *, by: str, reason: str) -> None:
        """Hide a model behind a tombstone; its name and numbers stay taken."""

    def restore(self, name: str) -> Model:
        """Take a tombstone away; NotFound when there is none."""


class Versions(Protocol):
    """The registered versions. The caller holds the lock of the model when it writes."""

    def get(self, ref: VersionRef) -> Version:
        """Give a version by number (by value), alias or `latest`; NotFound or Gone."""

    def take_ordinal(self, model: str) -> int:
        """Take the next ordinal of a model, never given before, by a locked counter."""

    def highest(self, model: str) -> Number | None:
        """The highest number ever given in a model, deleted ones included."""

    def latest(self, model: str) -> str:
        """The number registered last and not deleted, or ""."""

    def add(self, version: Version) -> None:
        """Add a version, its parents and data sets.

        AlreadyExists when the number is taken, by a deleted version too.
        """

    def save(self, version: Version) -> None:
        """Write what is known about a version.

        Its facts only while it is not sealed, else Immutable.
        """

    def text(self, ref: VersionRef) -> str:
        """Give the same as JSON text, undecoded."""

    def page_texts(
        self, query: Query, *, model: str | None, size: int, page: str | None
    ) -> Page[str]:
        """Give what `page` does as JSON texts, undecoded."""

    def page(
        self, query: Query, *, model: str | None, size: int, page: str | None
    ) -> Page[Version]:
        """Give the versions a query finds, newest first unless the query orders them.

        Ordering by a field leaves out what has none.
        """

    def remove(self, version: Version, *, by: str, reason: str) -> None:
        """Hide a version behind a tombstone; its number and ordinal stay taken."""

    def restore(self, ref: VersionRef) -> Version:
        """Take a tombstone away; NotFound when there is none."""

    def totals(self, *, model: str | None) -> Totals:
        """Count the versions of a model or of all, and add up what they cost."""


class Deployments(Protocol):
    """The aliases and the history of their moves."""

    def get(self, model: str, alias: str) -> Alias | None:
        """Give an alias, or None when it points nowhere."""

    def epoch(self, model: str, alias: str) -> int:
        """The epoch an alias is at; 0 before its first move; kept after a removal."""

    def move(self, move: Move) -> None:
        """Move an alias by compare-and-set and write its history.

        StaleEpoch unless it is at `move.epoch - 1`.
        """

    def moves(
        self, *, model: str | None, alias: str | None, size: int, page: str | None
    ) -> Page[Move]:
        """Give moves, newest first."""

    def at_epoch(self, model: str, alias: str, epoch: int) -> Move | None:
        """Give the move that brought an alias to an epoch."""

    def last_to(self, model: str, alias: str, number: str) -> Move | None:
        """Give the newest move that brought an alias to a version."""

    def at(self, at: datetime, *, model: str | None, alias: str | None) -> Sequence[Holding]:
        """Give what aliases pointed at then, by model and alias; removed ones left out."""

    def numbers(self, alias: str, *, limit: int) -> Mapping[str, str]:
        """Give the numbers an alias points at, by model: the first `limit` by name."""


class Lineage(Protocol):
    """The pedigree, by recursive SQL."""

    def nearest(
        self, version: Version, *, down: bool, depth: int, skip: int, size: int
    ) -> Sequence[Relative]:
        """Give `size` ancestors, or descendants, after the `skip` nearest ones, nearest first.

        Those at most `depth` steps away; no more is walked than is given.
        """

    def ancestors(self, version: Version, *, depth: int) -> Sequence[Relative]:
        """Every ancestor at most `depth` steps away, nearest first."""

    def descendants(self, version: Version, *, depth: int) -> Sequence[Relative]:
        """Every descendant at most `depth` steps away, nearest first."""

    def of_model(self, model: str) -> Pedigree:
        """Every version of a model, their direct relatives and the steps between them."""

    def lock(self) -> None:
        """Keep other works that give new parents to registered versions waiting."""

    def among(self, versions: Iterable[tuple[str, str]]) -> Pedigree:
        """Give these versions, (model, number) each, with the steps between them."""

    def datasets(self, *, size: int, page: str | None) -> Page[Dataset]:
        """Every data set a visible version was trained on, by name."""


class Evaluations(Protocol):
    """Scores and operational averages."""

    def add(self, version: Version, metrics: Sequence[Metric]) -> None:
        """Add scores to the history and make each the newest of its name.

        `version` is what was known before: its `metrics` are what the new ones replace.
        """

    def history(
        self, version: Version, *, name: str | None, size: int, page: str | None
    ) -> Page[Metric]:
        """Give a version's scores, newest first."""

    def fold(self, version: Version, observations: Sequence[Observation]) -> Operational:
        """Fold observations into the sums without losing any under concurrency."""

    def operational(self, version: Version) -> Operational:
        """Give a version's operational averages."""

    def served(self, *, limit: int) -> Sequence[Served]:
        """Give what versions served, the `limit` registered last first.

        Deleted and archived ones, and those that served nothing, are left out.
        """


class Events(Protocol):
    """The audit log. Appending is the unit of work's alone."""

    def page(self, *, model: str | None, action: str | None, after: int, size: int) -> Page[Event]:
        """Give events in order of `seq`, from the one after `after` on."""

    def since(self, seq: int) -> Iterator[Event]:
        """Every event after `seq`, in order, in constant memory."""

    def head(self) -> Checkpoint:
        """Where the log stands; (0, 64 zeros) when it is empty."""


class Webhooks(Protocol):
    """Webhooks and their outbox."""

    def add(self, webhook: Webhook, *, secret: str) -> Webhook:
        """Add a webhook and give it its number."""

    def get(self, id: int) -> tuple[Webhook, str]:
        """Give a webhook and its secret; NotFound."""

    def page(self, *, size: int, page: str | None) -> Page[Webhook]:
        """Give webhooks by number."""

    def remove(self, id: int) -> None:
        """Remove a webhook and what is still on its way to it."""

    def waiting(self, now: datetime) -> bool:
        """Whether a delivery is due."""

    def due(self, now: datetime, *, limit: int) -> Sequence[tuple[Delivery, Webhook, str, Event]]:
        """Take deliveries that are due; until the work ends no other worker is given them."""

    def settle(self, delivery: Delivery) -> None:
        """Write how an attempt went."""

    def deliveries(self, id: int, *, size: int, page: str | None) -> Page[Delivery]:
        """Give a webhook's deliveries, newest first."""


class Tokens(Protocol):
    """Access tokens."""

    def add(self, token: Token, *, secret_hash: str) -> None:
        """Add a token by its id."""

    def secret_hash(self, id: str) -> str | None:
        """Give the SHA-256 of a token's secret, or None."""

    def get(self, id: str) -> Token:
        """Give a token that is there."""

    def page(self, *, size: int, page: str | None) -> Page[Token]:
        """Give tokens, newest first."""

    def revoke(self, id: str, *, at: datetime) -> Token:
        """Make a token count no more; NotFound."""

    def touch(self, id: str, *, at: datetime) -> None:
        """Note that a token was used."""

    def grants(self, *, at: datetime) -> Sequence[Grant]:
        """Every grant of every token that counts at a time."""


class Replays(Protocol):
    """Answers kept for idempotency keys."""

    def find(self, key: str, by: str) -> tuple[str, int, str] | None:
        """Give the request digest, status and body kept under a key of an actor, or None."""

    def keep(self, key: str, by: str, *, request: str, status: int, body: str) -> None:
        """Keep an answer; KeyReused when another work kept one meanwhile."""

    def forget(self, before: datetime) -> None:
        """Forget answers kept before a time."""


class Transfer(Protocol):
    """The whole register, moved out and in."""

    def hold_still(self) -> None:
        """Let this work, which has read nothing yet, see one state of the register throughout."""

    def dump(self) -> Iterator[tuple[str, str]]:
        """Give kind and JSON object of everything, ordered by kind, then by registration.

        Equal registers give the same, whatever database they are in.
        """

    def empty(self) -> bool:
        """Whether there never was a model or an event; tokens and webhooks do not count."""

    def attempt(self, *, keep: bool) -> AbstractContextManager[None]:
        """Undo at its end what is written inside, unless it is to be kept."""

    def add(self, records: Sequence[Record]) -> None:
        """Add records of one kind; what they name was added before. Invalid names the line.

        Conflict when the register was written to meanwhile.
        """

    def finish(self) -> None:
        """Bind what was added, parents and data sets; Corrupt when it does not fit together."""


class Work(Protocol):
    """A unit of work: one transaction, one actor. The door opens it, success commits it."""

    models: Models
    versions: Versions
    deployments: Deployments
    lineage: Lineage
    evaluations: Evaluations
    events: Events
    webhooks: Webhooks
    tokens: Tokens
    replays: Replays
    transfer: Transfer
    artifacts: Artifacts
    experiments: Experiments
    drift: Drift
    documents: Documents

    @property
    def by(self) -> Actor:
        """Who acts."""

    def now(self) -> datetime:
        """The time of this work, the same throughout, aware UTC."""

    def record(self, change: Change) -> None:
        """Write a change to the audit log and the outbox when the work is committed."""
