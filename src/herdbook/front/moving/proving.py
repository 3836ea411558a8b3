"""Verify a target before the cut: it fails closed."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from herdbook.core.migrations import Check, Migration, Verification
from herdbook.core.spaces import Encoder
from herdbook.core.vectors import Shape, Vectors
from herdbook.errors import Invalid
from herdbook.front.moving.catching_up import Comparison, Tick, silent
from herdbook.front.moving.sampling import sample

SAMPLED: Final = 64
# What another batch, another thread or half precision changes in a vector lies far below.
SAME_COSINE: Final = 0.9995
SEED: Final = 20_260_101
# A live write is at the source for a moment before it is at the target.
_LOOKS: Final = 4
_LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query of the user's, with the documents that answer it.

    Args:
        text: the query.
        relevant: ids of documents, and how relevant each is, above 0.
    """

    text: str
    relevant: Mapping[str, float]

    def __post_init__(self) -> None:
        """Refuse one without an answer: nothing can be measured on it."""
        if not self.text.strip():
            raise Invalid("a labelled query needs a text", field="queries")
        if not self.relevant or any(not grade > 0 for grade in self.relevant.values()):
            raise Invalid(
                f"the query {self.text!r:.60} needs relevant documents, each with a grade above 0",
                field="queries",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """What is asked of a target.

    Args:
        queries: the user's, labelled.
        k: how many documents of an answer count.
        margin: by how much the new version may be worse, in nDCG and recall, before it fails: the
            lower end of the 95 % interval of the difference has to be above minus that.
        sampled: how many documents are embedded again.
        accept_set_aside: let documents be missing that could not be moved.
        without_queries: let nothing be measured.
    """

    queries: Sequence[Query] = field(default_factory=tuple)
    k: int = 10
    margin: float = 0.02
    sampled: int = SAMPLED
    accept_set_aside: bool = False
    without_queries: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if not 1 <= self.k <= 1_000:
            raise Invalid("k is 1 to 1000", field="k")
        if not 0 <= self.margin <= 1:
            raise Invalid("a margin is 0 to 1", field="margin")
        if not 1 <= self.sampled <= 10_000:
            raise Invalid("a sample has 1 to 10000 documents", field="sampled")


def verified(  # noqa: PLR0913 - both sides of a comparison
    store: Vectors,
    migration: Migration,
    *,
    old: Encoder | None,
    new: Encoder | None,
    aside: set[str],
    demands: Demands,
    tick: Tick = silent,
) -> Verification:
    """Look at a target.

    Args:
        store: holds source and target.
        migration: whose.
        old: the source's encoder, for the queries.
        new: the target's; None when vectors were copied and there are no queries.
        aside: ids that were set aside.
        demands: what is asked.
        tick: told how many documents were compared.
    """
    comparison = Comparison(store, migration, aside)
    differing = comparison.differences(tick=tick)
    for _ in range(_LOOKS):
        if not differing.count:
            break
        time.sleep(_LOOK_SECONDS)
        differing = comparison.still(differing)
    checks = [
        _ids(differing.missing, differing.gone, differing.compared),
        _content(differing.changed),
        _spaces(store, migration),
        _aside(aside, accepted=demands.accept_set_aside),
    ]
    if migration.embeds:
        checks.append(_sample(store, migration, new, demands.sampled))
    checks += _quality(store, migration, old, new, demands)
    return Verification(at=datetime.now(UTC), checks=tuple(checks))


def _ids(missing: list[str], gone: list[str], compared: int) -> Check:
    says = f"{compared:,} documents on both sides"
    if missing or gone:
        says = f"{len(missing):,} missing{_few(missing)}, {len(gone):,} too many{_few(gone)}"
    numbers = {"compared": compared, "missing": len(missing), "too_many": len(gone)}
    return Check(name="ids", passed=not missing and not gone, says=says, numbers=numbers)


def _content(changed: list[str]) -> Check:
    says = "every document was made from what the source says"
    if changed:
        says = f"{len(changed):,} documents were changed in the source since{_few(changed)}"
    return Check(name="content", passed=not changed, says=says, numbers={"changed": len(changed)})


def _few(ids: Sequence[str]) -> str:
    return f" ({', '.join(repr(id) for id in ids[:3])}…)" if ids else ""


def _spaces(store: Vectors, migration: Migration) -> Check:
    space = migration.target.space
    wanted = space.fingerprint if space else ""
    found = {key: count for key, count in store.spaces(migration.target.place).items() if count}
    passed = bool(wanted) and set(found) <= {wanted}
    says = f"one space, {wanted[:12]}"
    if not passed:
        listed = ", ".join(f"{key[:12] or 'unknown'}: {found[key]:,}" for key in sorted(found))
        says = f"more than one space, or another than {wanted[:12]}: {listed}"
    return Check(name="spaces", passed=passed, says=says, numbers={"spaces": len(found)})


def _aside(aside: set[str], *, accepted: bool) -> Check:
    says = "nothing was set aside"
    if aside:
        noun = "document" if len(aside) == 1 else "documents"
        says = f"{len(aside):,} {noun} could not be moved{_few(sorted(aside))}"
        says += ", which was accepted" if accepted else "; mend them, or accept that they are left"
    return Check(
        name="set_aside",
        passed=accepted or not aside,
        says=says,
        numbers={"set_aside": len(aside)},
    )


def _sample(store: Vectors, migration: Migration, new: Encoder | None, count: int) -> Check:
    """Embed a sample again: a wrong encoder, or one that changed, cannot give the same."""
    import numpy as np

    batch = sample(store, migration.target.place, count=count, vectors=True)
    texts = [text or "" for text in batch.texts]
    if new is None or not texts:
        passed = not texts and not (store.look(migration.target.place) or Shape.nothing()).documents
        return Check(name="sample", passed=passed, says="there was nothing to embed again")
    again = np.asarray(new.embed(texts))
    found = cosines(again, batch.vectors)
    worst = float(found.min())
    same = int((found >= SAME_COSINE).sum())
    says = f"{same} of {len(texts)} embedded again are the same; the worst cosine is {worst:.5f}"
    numbers = {"sampled": len(texts), "same": same, "worst": worst}
    return Check(name="sample", passed=same == len(texts), says=says, numbers=numbers)


def cosines(a: Any, b: Any) -> Any:
    """Give the cosine of each row of one with the same row of the other; -1 where one is none."""
    import numpy as np

    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (a * b).sum(axis=1) / lengths
    return np.nan_to_num(found, nan=-1.0)


def _quality(
    store: Vectors,
    migration: Migration,
    old: Encoder | None,
    new: Encoder | None,
    demands: Demands,
) -> list[Check]:
    if not migration.embeds and not demands.queries:
        return []  # the vectors are the same
    if not demands.queries or old is None or new is None:
        says = "no labelled queries were given: nobody knows whether the new version is as good"
        if demands.without_queries:
            says += ", which was accepted"
        return [Check(name="queries", passed=demands.without_queries, says=says)]
    before = rankings(store, migration.source, old, demands)
    after = rankings(store, migration.target, new, demands)
    measured = [
        compared(name, scores(name, before, demands), scores(name, after, demands), demands)
        for name in ("ndcg", "recall")
    ]
    return [*measured, _overlap(before, after, demands)]


def rankings(store: Vectors, home: Any, encoder: Encoder, demands: Demands) -> list[list[str]]:
    """Give the ids each query finds."""
    vectors = encoder.embed_queries([query.text for query in demands.queries])
    return ranked(store, home, vectors, demands.k)


def ranked(store: Vectors, home: Any, vectors: Any, k: int) -> list[list[str]]:
    """Give the ids each vector finds."""
    space = home.space.fingerprint
    return [
        [hit.id for hit in store.search(home.place, vector, k=k, space=space)] for vector in vectors
    ]


def scores(name: str, found: list[list[str]], demands: Demands) -> list[float]:
    """Score rankings by `ndcg` or `recall`."""
    from herdbook.stats import ranking

    score = ranking.ndcg if name == "ndcg" else ranking.recall
    return [
        score(ids, query.relevant, demands.k)
        for ids, query in zip(found, demands.queries, strict=True)
    ]


def compared(name: str, old: list[float], new: list[float], demands: Demands) -> Check:
    """Say whether the new scores are no worse than the old ones by more than the margin."""
    import numpy as np

    from herdbook.stats import ranking

    before, after = float(np.mean(old)), float(np.mean(new))
    numbers = {"old": before, "new": after, "queries": float(len(new))}
    if len(new) < 2:
        says = "one query says nothing of all others; give more"
        return Check(name=name, passed=False, says=says, numbers=numbers)
    found = ranking.paired_bootstrap(old, new, rng=np.random.default_rng(SEED))
    passed = found.low >= -demands.margin
    numbers |= {"difference": found.mean, "low": found.low, "high": found.high}
    says = (
        f"{name}@{demands.k} {after:.3f}, was {before:.3f}: {found.mean:+.3f} "
        f"({found.low:+.3f} to {found.high:+.3f}, {len(new)} queries)"
    )
    if not passed:
        says += f"; it may be worse by more than {demands.margin:g}"
    return Check(name=name, passed=passed, says=says, numbers=numbers)


def _overlap(before: list[list[str]], after: list[list[str]], demands: Demands) -> Check:
    import numpy as np

    from herdbook.stats import ranking

    shares = [ranking.overlap(a, b, demands.k) for a, b in zip(before, after, strict=True)]
    mean = float(np.mean(shares))
    says = f"{mean:.0%} of the first {demands.k} are the same; that is no measure of quality"
    return Check(name="overlap", passed=True, gate=False, says=says, numbers={"overlap": mean})
