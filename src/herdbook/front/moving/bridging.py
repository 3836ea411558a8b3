"""Bridges: queries of the new version search the old version's vectors, until those are moved.

A bridge must beat both what is there (the old version) and nothing (the new query as it is, where
the dimensions agree); often none does, and then none is built.
"""

import base64
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from herdbook.core.documents import Bridge, Collection
from herdbook.core.spaces import Encoder, EncoderSpec, Space
from herdbook.core.vectors import Vectors
from herdbook.encoders.limits import refusal
from herdbook.errors import Conflict, Invalid, Refused
from herdbook.front.moving.carrying import picked
from herdbook.front.moving.proving import SEED, Demands, ranked, scores
from herdbook.front.moving.sampling import embeddable, sample

DAYS_LIMIT: Final = 90
_CALLED: Final = {"old": "the old version", "identity": "the new queries as they are"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A bridge, with what it was measured against.

    Args:
        bridge: the best one; None when none is good enough.
        scores: nDCG at k by what was tried: `old` (the query by the old version), `identity`
            (the new query as it is), and each kind of map.
        pairs: how many pairs they were fitted on.
        says: the outcome, in a sentence.
    """

    bridge: Bridge | None
    scores: dict[str, float]
    pairs: int
    says: str


def built(  # noqa: PLR0913 - both encoders and what is asked
    store: Vectors,
    found: Collection,
    spec: EncoderSpec,
    *,
    old: Encoder,
    new: Encoder,
    demands: Demands,
    now: datetime,
    pairs: int,
    days: float,
    kinds: Sequence[str] = (),
) -> Built:
    """Fit maps on a sample of the documents and measure them on the user's queries.

    Raises:
        Invalid: there are no queries, or too few documents for a map.
        Conflict: both are one space.
    """
    space = _bridged(found, new, demands, days)
    maps = _fitted(store, found, new, demands, pairs, kinds)
    texts = [query.text for query in demands.queries]
    asked = new.embed_queries(texts)
    tried: dict[str, Any] = {"old": old.embed_queries(texts)}
    if new.space.dimension == space.dimension:
        tried["identity"] = asked
    tried |= {kind: made.apply(asked) for kind, made in maps.items()}
    answered = {
        name: scores("ndcg", ranked(store, found.home, vectors, demands.k), demands)
        for name, vectors in tried.items()
    }
    measured = {name: _mean(each) for name, each in answered.items()}
    best = max(maps, key=lambda kind: measured[kind])
    worst = max(("old", "identity"), key=lambda name: measured.get(name, 0.0))
    count = maps[best].pairs
    if not all(_beats(answered[best], answered[name]) for name in tried if name not in maps):
        says = (
            f"no bridge: the best, {best}, scores {measured[best]:.3f}, {_CALLED[worst]} "
            f"{measured[worst]:.3f}, which may be chance on {len(texts)} queries; move the "
            "documents instead"
        )
        return Built(bridge=None, scores=measured, pairs=count, says=says)
    bridge = Bridge(
        collection=found.name,
        encoder=spec,
        space=new.space,
        onto=space.fingerprint,
        kind=best,
        map=base64.b64encode(maps[best].to_bytes()).decode(),
        pairs=count,
        scores={**measured, "bridge": measured[best]},
        expires_at=now + timedelta(days=days),
    )
    says = f"{best} scores {measured[best]:.3f}, {_CALLED[worst]} {measured[worst]:.3f}"
    return Built(bridge=bridge, scores=measured, pairs=count, says=says)


def _bridged(found: Collection, new: Encoder, demands: Demands, days: float) -> Space:
    """Give the space a bridge leads to; refuse what cannot be measured or is no use."""
    space = found.home.space
    if space is None or new.space.fingerprint == space.fingerprint:
        raise Conflict("there is nothing to bridge: both are one space", field="encoder")
    if len(demands.queries) < 2:
        raise Invalid("a bridge is measured on labelled queries; give two or more", field="queries")
    if not 0 < days <= DAYS_LIMIT:
        raise Invalid(f"a bridge lasts above 0 and at most {DAYS_LIMIT} days", field="days")
    return space


def _fitted(
    store: Vectors,
    found: Collection,
    new: Encoder,
    demands: Demands,
    pairs: int,
    kinds: Sequence[str],
) -> dict[str, Any]:
    import numpy as np

    from herdbook.stats import mappings

    batch = sample(store, found.home.place, count=pairs, vectors=True)
    # What answers a query is left out: a map fitted on it would know the answer.
    answers = {id for query in demands.queries for id in query.relevant}
    fit = [
        at
        for at, (id, text) in enumerate(zip(batch.ids, batch.texts, strict=True))
        if id not in answers and not refusal(text)
    ]
    batch = picked(batch, fit)
    fewest = mappings.fewest_pairs(new.space.dimension, batch.vectors.shape[1]) if fit else 1
    if len(batch) < fewest:
        raise Invalid(
            f"{len(batch):,} documents that answer no query are too few to fit a map: it takes "
            f"{fewest:,}, three for each number of a vector; ask for more pairs, or move the "
            "documents",
            field="pairs",
        )
    taken, embedded = embeddable(new, [text or "" for text in batch.texts])
    batch = picked(batch, taken)
    rng = np.random.default_rng(SEED)
    return {
        kind: mappings.fit(kind, embedded, batch.vectors, rng=rng)
        for kind in kinds or mappings.KINDS
    }


def _beats(new: list[float], old: list[float]) -> bool:
    """Whether scores are better by more than chance: the 95 % interval lies above 0."""
    import numpy as np

    from herdbook.stats import ranking

    return ranking.paired_bootstrap(old, new, rng=np.random.default_rng(SEED)).low > 0


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def require(found: Built) -> Bridge:
    """Give the bridge; Refused when none is good enough."""
    if found.bridge is None:
        raise Refused(found.says, field="queries")
    return found.bridge


@functools.lru_cache(maxsize=8)
def _map(packed: str) -> Any:
    from herdbook.stats import mappings

    return mappings.LinearMap.from_bytes(base64.b64decode(packed))


def mapped(bridge: Bridge, vector: Any) -> Any:
    """Take a query's vector over the bridge."""
    return _map(bridge.map).apply(vector[None, :])[0]
