"""Legacy vectors: what embedded them is unknown until a sample, embedded again, proves it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from herdbook.core import stamps
from herdbook.core.spaces import Encoder
from herdbook.core.stamps import Stamper
from herdbook.core.vectors import Batch, Place, Vectors
from herdbook.encoders.limits import refusal
from herdbook.errors import NotFound, Refused
from herdbook.front.moving.carrying import picked
from herdbook.front.moving.catching_up import AT_ONCE, Tick, silent
from herdbook.front.moving.proving import SAME_COSINE, cosines
from herdbook.front.moving.sampling import embeddable, sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What embedding a sample again showed.

    Args:
        sampled: how many documents were embedded again.
        same: how many came out as they are stored.
        worst: the worst cosine between the two; 1 is equal.
        unlike: ids of some that did not.
    """

    sampled: int
    same: int
    worst: float
    unlike: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every one came out the same, and there were any."""
        return 0 < self.sampled == self.same


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamped:
    """What was stamped.

    Args:
        proof: of the sample.
        stamped: documents that carry a stamp now and did not.
        known: those that did before.
        unknown: those that are not of this space, and were left alone.
        dry_run: whether nothing was written.
    """

    proof: Proof
    stamped: int = 0
    known: int = 0
    unknown: int = 0
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What is in a place.

    Args:
        place: the place.
        documents: how many have a vector.
        dimension: of the vectors.
        metric: how they are compared.
        spaces: how many documents name each space, "" for none.
        sampled: how many were read for the rest.
        missing_texts: of those, how many have no text: they cannot be embedded again.
        odd: of those, how many cannot be embedded, by reason.
        histories: of those, how many were migrated before.
    """

    place: str
    documents: int
    dimension: int
    metric: str
    spaces: dict[str, int]
    sampled: int
    missing_texts: int
    odd: dict[str, int]
    histories: int


def inspected(store: Vectors, place: Place, *, sampled: int = 256) -> Inspected:
    """Look at a place; NotFound when it is not there."""
    shape = store.look(place)
    if shape is None:
        raise NotFound(f"there is no {place} in {store.address}", field="place")
    batch = sample(store, place, count=sampled)
    odd: dict[str, int] = {}
    for text in batch.texts:
        reason = refusal(text)
        if reason:
            odd[reason] = odd.get(reason, 0) + 1
    return Inspected(
        place=str(place),
        documents=shape.documents,
        dimension=shape.dimension,
        metric=shape.metric,
        spaces=dict(store.spaces(place)),
        sampled=len(batch),
        missing_texts=sum(1 for text in batch.texts if text is None),
        odd=odd,
        histories=sum(1 for each in batch.metadata if stamps.history_of(each)),
    )


def proven(store: Vectors, place: Place, encoder: Encoder, *, sampled: int) -> Proof:
    """Embed a sample again and compare."""
    batch = sample(store, place, count=sampled, vectors=True)
    return _proof(batch, encoder)[0]


def _proof(batch: Batch, encoder: Encoder) -> tuple[Proof, list[int]]:
    """Compare; gives also the places of those that came out the same."""
    fit = [at for at, text in enumerate(batch.texts) if not refusal(text)]
    batch = picked(batch, fit)
    if not len(batch) or batch.vectors.shape[1] != encoder.space.dimension:
        return Proof(sampled=len(batch), same=0, worst=-1.0, unlike=tuple(batch.ids[:10])), []
    found = _cosines(encoder, batch)
    same = [fit[at] for at, cosine in enumerate(found) if cosine >= SAME_COSINE]
    unlike = tuple(id for id, cosine in zip(batch.ids, found, strict=True) if cosine < SAME_COSINE)[
        :10
    ]
    proof = Proof(sampled=len(batch), same=len(same), worst=float(found.min()), unlike=unlike)
    return proof, same


def _cosines(encoder: Encoder, batch: Batch) -> Any:
    """Compare documents with what they are embedded to now; -1 for what the encoder refuses."""
    import numpy as np

    taken, again = embeddable(encoder, [text or "" for text in batch.texts])
    found = np.full(len(batch), -1.0)
    if taken:
        found[taken] = cosines(again, batch.vectors[taken])
    return found


def stamped(  # noqa: PLR0913 - how it is proven
    store: Vectors,
    place: Place,
    encoder: Encoder,
    *,
    write: str,
    sampled: int = 64,
    every: bool = False,
    dry_run: bool = False,
    tick: Tick = silent,
) -> Stamped:
    """Stamp the documents of a place that carry no stamp, once a sample proved their model.

    Args:
        store: holds them.
        place: where.
        encoder: what is said to have embedded them.
        write: names this write in the stamps.
        sampled: how many are embedded again.
        every: embed every single one again, and stamp those that come out the same: for
            collections that hold vectors of several models.
        dry_run: write nothing.
        tick: told how many documents were looked at.

    Raises:
        Refused: the sample is not of this encoder; nothing was written.
    """
    proof = proven(store, place, encoder, sampled=sampled)
    if not proof.holds and not every:
        raise Refused(
            f"{place} was not embedded by {encoder.space}: {proof.same} of {proof.sampled} "
            f"documents come out the same when they are embedded again (worst cosine "
            f"{proof.worst:.4f}; unlike are {', '.join(map(repr, proof.unlike[:3]))}). Name the "
            "encoder that did, or stamp only those that match: --every",
            field="encoder",
        )
    count = {"stamped": 0, "known": 0, "unknown": 0}
    for batch in _unstamped(store, place, count):
        kept = _proof(batch, encoder)[1] if every else list(range(len(batch)))
        count["unknown"] += len(batch) - len(kept)
        count["stamped"] += len(kept)
        if kept and not dry_run:
            store.upsert(place, _with_stamps(picked(batch, kept), encoder, store, write))
        tick(len(batch))
    return Stamped(proof=proof, dry_run=dry_run, **count)


def _unstamped(store: Vectors, place: Place, count: dict[str, int]) -> Iterator[Batch]:
    for within in store.ranges(place, size=AT_ONCE):
        batch = store.read(place, within, vectors=True)
        bare = [at for at, each in enumerate(batch.metadata) if not each.get(stamps.SPACE)]
        count["known"] += len(batch) - len(bare)
        if bare:
            yield picked(batch, bare)


def _with_stamps(batch: Batch, encoder: Encoder, store: Vectors, write: str) -> Batch:
    nested = store.traits.nested
    stamper = Stamper(space=encoder.space, at=datetime.now(UTC), write=write, nested=nested)
    said = []
    for text, metadata in zip(batch.texts, batch.metadata, strict=True):
        own = stamps.unstamped(metadata)
        at = metadata.get(stamps.INDEXED)
        told = stamper.stamped(
            own,
            content=stamps.content_digest(text, own),
            history=stamps.history_of(metadata),
        )
        # When it was indexed is known better by who did it.
        said.append({**told, stamps.INDEXED: at} if at else told)
    return Batch(batch.ids, batch.texts, said, batch.vectors)
