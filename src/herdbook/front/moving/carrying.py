"""Carry shards: read documents from the source, embed them or copy their vectors, insert them.

Whoever carries may be killed at any point and the shard be carried again, by the same or another
process: what is in the target already stays as it is.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Protocol

from herdbook.core import stamps
from herdbook.core.migrations import Migration, Outcome, SetAside, Shard
from herdbook.core.spaces import Encoder
from herdbook.core.stamps import Hop, Metadata, Stamper
from herdbook.core.vectors import Batch, Shape, Vectors
from herdbook.encoders.limits import refusal
from herdbook.errors import Conflict, Invalid
from herdbook.front.artifacts import Artifacts
from herdbook.front.moving.opening import Opener, require_space
from herdbook.front.moving.strategies import Strategies
from herdbook.front.moving.telling import holdable


class Carrier:
    """Carries the shards of one migration.

    Args:
        migration: as it was when carrying began; its target's space is known.
        opener: opens the store, and the encoder where the migration embeds.
        strategies: the functions of its path.
        now: tells the time.
    """

    def __init__(
        self,
        migration: Migration,
        store: Vectors,
        opener: Opener,
        strategies: Strategies,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._migration = migration
        self._store = store
        self._strategies = strategies
        self._now = now
        self._encoder = _encoder(migration, opener)
        space = migration.source.space
        self._home = space.fingerprint if space else ""
        # Where nothing is yet, nothing of a shard was carried before.
        self._is_fresh = not (store.look(migration.target.place) or Shape.nothing()).documents

    def __call__(self, shard: Shard) -> Outcome:
        """Carry a shard."""
        began = time.perf_counter()
        source = self._migration.source.place
        batch = self._store.read(source, shard.within, vectors=self._encoder is None)
        carried = self.carry(batch, shard=shard.number)
        return replace(carried, seconds=time.perf_counter() - began)

    def carry(self, batch: Batch, *, shard: int = 0) -> Outcome:
        """Bring documents that were read from the source into the target."""
        wanted, aside = self._fit(batch)
        if self._encoder is None:
            tokens, made = 0, wanted
        else:
            wanted = self._missing(wanted)
            made, tokens, poisoned = self._embedded(wanted)
            aside += poisoned
        changed, refused = self._stamped(made)
        aside += refused
        if len(changed):
            self._store.insert(self._migration.target.place, changed)
        return Outcome(
            shard=shard,
            documents=len(batch),
            written=len(batch) - len(aside),
            tokens=tokens,
            set_aside=tuple(replace(each, shard=shard) for each in aside),
        )

    def _fit(self, batch: Batch) -> tuple[Batch, list[SetAside]]:
        """Part what can be moved from what cannot."""
        refuse = self._refused_text if self._encoder is not None else self._refused_stamp
        reasons = [refuse(batch, at) for at in range(len(batch))]
        if not any(reasons):
            return batch, []
        aside = [
            SetAside(id=id, reason=reason)
            for id, reason in zip(batch.ids, reasons, strict=True)
            if reason
        ]
        return picked(batch, [at for at, reason in enumerate(reasons) if not reason]), aside

    def _refused_text(self, batch: Batch, at: int) -> str:
        return refusal(batch.texts[at], limit=self._migration.options.text_limit)

    def _refused_stamp(self, batch: Batch, at: int) -> str:
        """Refuse to copy a vector that is not of the source's space: it would be mislabelled."""
        found = batch.metadata[at].get(stamps.SPACE) or ""
        if self._home in ("", found):
            return ""
        return f"its vector is of another space ({found[:12] or 'unknown'})"

    def _missing(self, batch: Batch) -> Batch:
        """Leave out what an earlier try embedded already: embedding is what takes time."""
        if self._is_fresh:
            return batch
        there = set(self._store.fetch(self._migration.target.place, batch.ids).ids)
        if not there:
            return batch
        return picked(batch, [at for at, id in enumerate(batch.ids) if id not in there])

    def _embedded(self, batch: Batch) -> tuple[Batch, int, list[SetAside]]:
        """Embed a batch; what no encoder takes is found by halving and set aside."""
        if not len(batch):
            return batch, 0, []
        assert self._encoder is not None  # noqa: S101 - only migrations that embed come here
        texts = [text or "" for text in batch.texts]
        try:
            vectors = self._encoder.embed(texts)
        except Invalid as wrong:
            if len(batch) == 1:
                poison = SetAside(id=batch.ids[0], reason=holdable(wrong.message))
                return picked(batch, []), 0, [poison]
            return self._in_pieces(batch, wrong)
        made = Batch(batch.ids, batch.texts, batch.metadata, vectors)
        return made, self._encoder.tokens(texts), []

    def _in_pieces(self, batch: Batch, wrong: Invalid) -> tuple[Batch, int, list[SetAside]]:
        """Embed what comes before and after what was refused; in halves where that is not said."""
        at = wrong.details.get("index")
        whole = range(len(batch))
        cuts = [len(batch) // 2]
        if isinstance(at, int) and at in whole:
            cuts = sorted({at, at + 1} & set(whole[1:]))
        made, tokens = picked(batch, []), 0
        aside: list[SetAside] = []
        for begin, end in pairwise([0, *cuts, len(batch)]):
            piece, took, poison = self._embedded(picked(batch, range(begin, end)))
            made, tokens, aside = _joined(made, piece), tokens + took, aside + poison
        return made, tokens, aside

    def _stamped(self, batch: Batch) -> tuple[Batch, list[SetAside]]:
        """Pass metadata through the functions of the path, and stamp it."""
        stamper = self._stamper()
        said: list[Metadata] = []
        kept: list[int] = []
        aside: list[SetAside] = []
        for at, metadata in enumerate(batch.metadata):
            try:
                own = stamps.unstamped(metadata)
                digest = stamps.own_digest(batch.texts[at], own)
                changed = self._strategies.changed(own, self._migration.steps)
                history = stamps.history_of(metadata)
            except Invalid as wrong:
                aside.append(SetAside(id=batch.ids[at], reason=holdable(wrong.message)))
                continue
            told = stamper.stamped(changed, content=digest, history=history)
            made_at = metadata.get(stamps.INDEXED)
            if self._encoder is None and made_at:
                told[stamps.INDEXED] = made_at  # the vector is the one that was made then
            said.append(told)
            kept.append(at)
        made = batch if not aside else picked(batch, kept)
        return Batch(made.ids, made.texts, said, made.vectors), aside

    def _stamper(self) -> Stamper:
        at, space = self._now(), self._migration.target.space
        assert space is not None  # noqa: S101 - it is set before anything is carried
        hops = tuple(
            Hop(from_version=step.from_version, to_version=step.to_version, migrated_at=at)
            for step in self._migration.steps
        )
        nested = self._store.traits.nested
        return Stamper(space=space, at=at, write=self._migration.write, nested=nested, hops=hops)


def _encoder(migration: Migration, opener: Opener) -> Encoder | None:
    if not migration.embeds:
        return None
    home = migration.target
    if home.encoder is None:
        raise Conflict(f"{migration.id} embeds, and names no encoder", field="encoder")
    encoder = opener.encoder(home.encoder)
    require_space(encoder, home.encoder, home.space, migration.collection)
    return encoder


def picked(batch: Batch, places: Sequence[int]) -> Batch:
    """Give some documents of a batch."""
    vectors: Any = None if batch.vectors is None else batch.vectors[list(places)]
    return Batch(
        [batch.ids[at] for at in places],
        [batch.texts[at] for at in places],
        [batch.metadata[at] for at in places],
        vectors,
    )


def _joined(first: Batch, second: Batch) -> Batch:
    if not len(first) or not len(second):
        return first if len(first) else second
    import numpy as np

    return Batch(
        first.ids + second.ids,
        first.texts + second.texts,
        first.metadata + second.metadata,
        np.concatenate([first.vectors, second.vectors]),
    )


class Register(Protocol):
    """A register that was opened once more, as far as a carrier needs it."""

    @property
    def artifacts(self) -> Artifacts:
        """Where the files of encoders come from."""


@dataclass(frozen=True, slots=True)
class Carriage:
    """Makes a carrier in another process; it travels there as it is.

    Args:
        address: the store's.
        migration: see `Carrier`.
        again: opens the register once more.
    """

    address: str
    migration: Migration
    again: Callable[[], Register]

    def __call__(self) -> Carrier:
        """Make the carrier; what it needs of the register is the files of the encoder."""
        book = self.again()
        opener = Opener(lambda: book.artifacts)
        store = opener.store(self.address)
        return Carrier(self.migration, store, opener, Strategies())
