"""What a migration would take, from a timed sample; nothing is written anywhere."""

import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from herdbook.core import stamps
from herdbook.core.migrations import Estimate, Migration
from herdbook.core.spaces import Encoder, Space
from herdbook.core.vectors import Batch, Vectors
from herdbook.encoders.limits import refusal
from herdbook.errors import Invalid, NotFound
from herdbook.front.moving.sampling import sample
from herdbook.front.moving.strategies import Strategies, told
from herdbook.front.moving.telling import holdable, holdable_value

SAMPLED: Final = 64
EXAMPLES: Final = 10
_FLOAT_BYTES: Final = 4


def rehearsed(
    store: Vectors,
    migration: Migration,
    encoder: Encoder | None,
    strategies: Strategies,
    *,
    sampled: int = SAMPLED,
) -> Estimate:
    """Try a sample of the documents.

    Args:
        store: holds the source.
        migration: as planned.
        encoder: of the target; None when vectors are copied.
        strategies: the functions of the path.
        sampled: how many documents are tried.

    Raises:
        NotFound: there is no such collection in the store.
    """
    place = migration.source.place
    shape = store.look(place)
    if shape is None:
        raise NotFound(f"there is no {place} in {store.address}", field="place")
    batch = sample(store, place, count=sampled)
    reasons, took, tokens = _tried(batch, migration, encoder)
    examples, failed = _examples(batch, migration, encoder, strategies)
    share = shape.documents / max(1, len(batch))
    price = migration.target.encoder.price_per_million_tokens if migration.target.encoder else 0.0
    dimension = encoder.space.dimension if encoder else shape.dimension
    return Estimate(
        documents=shape.documents,
        sampled=len(batch),
        tokens=round(tokens * share),
        seconds=took * share,
        cost=tokens * share * price / 1e6,
        space_bytes=shape.documents * dimension * _FLOAT_BYTES,
        missing_texts=sum(1 for text in batch.texts if text is None),
        set_aside=dict(reasons + failed),
        spaces=dict(store.spaces(place)),
        examples=tuple(examples),
    )


def _tried(
    batch: Batch, migration: Migration, encoder: Encoder | None
) -> tuple[Counter[str], float, int]:
    """Embed what can be; gives why the rest cannot, the seconds and the tokens."""
    if encoder is None:
        return Counter(), 0.0, 0
    reasons: Counter[str] = Counter()
    texts: list[str] = []
    for text in batch.texts:
        reason = refusal(text, limit=migration.options.text_limit)
        if reason or text is None:
            reasons[reason] += 1
        else:
            texts.append(text)
    if not texts:
        return reasons, 0.0, 0
    _embedded(encoder, texts[:1])  # the first one is slow: what is loaded late is loaded now
    began = time.perf_counter()
    for text in _embedded(encoder, texts):
        reasons[text] += 1
    return reasons, time.perf_counter() - began, encoder.tokens(texts)


def _embedded(encoder: Encoder, texts: list[str]) -> list[str]:
    """Embed texts; gives the reasons of those that cannot be."""
    try:
        encoder.embed(texts)
    except Invalid as wrong:
        if len(texts) == 1:
            return [holdable(wrong.message)]
        half = len(texts) // 2
        return _embedded(encoder, texts[:half]) + _embedded(encoder, texts[half:])
    return []


def _examples(
    batch: Batch, migration: Migration, encoder: Encoder | None, strategies: Strategies
) -> tuple[list[Mapping[str, Any]], Counter[str]]:
    at = datetime.now(UTC)
    space: Space | None = encoder.space if encoder else migration.source.space
    found: list[Mapping[str, Any]] = []
    failed: Counter[str] = Counter()
    for id, metadata in zip(batch.ids, batch.metadata, strict=True):
        try:
            after = strategies.changed(stamps.unstamped(metadata), migration.steps)
            history = [*stamps.history_of(metadata), *told(migration.steps, at)]
        except Invalid as wrong:
            failed[holdable(wrong.message)] += 1
            continue
        if len(found) < EXAMPLES:
            after |= {
                stamps.MODEL: migration.model,
                stamps.VERSION: migration.to_version,
                stamps.SPACE: space.fingerprint if space else "",
                stamps.HISTORY: history,
            }
            found.append(holdable_value({"id": id, "before": metadata, "after": after}))
    return found, failed
