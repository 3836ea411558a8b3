"""What cannot be told by the shape of vectors: another model of the same dimension."""

from typing import Any, Final

import herdbook
from examples.documents import changed, corpus
from examples.documents.carry import demands
from examples.documents.facts import heading, say
from examples.documents.live import labelled
from examples.documents.tour import Tour
from herdbook import encoders
from herdbook.core.spaces import EncoderSpec
from herdbook.errors import Conflict, HerdbookError, Invalid
from herdbook.front.moving.collections import OpenCollection
from herdbook.stats.ranking import ndcg

SOURCE: Final = "python:examples.documents.changed:embed"
ASKED: Final = 60
K: Final = 10
# A map between spaces of 384 dimensions takes 1,152 pairs.
PAIRS: Final = 1_600


def same_dimension(tour: Tour) -> None:
    """Try v3 on v2's vectors, which nothing but their stamps tells apart."""
    heading("v3 has 384 dimensions as well: what if it is used on v2's vectors?")
    held = tour.open
    home = held.now.home
    assert home.encoder is not None  # noqa: S101 - the collection was made with one
    assert home.space is not None  # noqa: S101 - likewise
    asked = corpus.queries(labelled(tour.documents))[:ASKED]
    texts = [each.text for each in asked]
    spec = EncoderSpec(model=home.space.model, number="v3", source=SOURCE)
    new = encoders.opened(spec)
    queries = new.embed_queries(texts)
    right = _found(held, asked, held.encoder().embed_queries(texts), home.space.fingerprint)
    # What a client that keeps no stamps does: vectors of the right shape, nobody asks whose.
    wrong = _found(held, asked, queries, home.space.fingerprint)
    tour.facts.figures["same_dimension"] = {"right": right, "wrong": wrong}
    say(f"a client without stamps gets no error, and nDCG@10 {wrong:.3f} instead of {right:.3f}")
    tour.facts.hold(
        "silent", holds=wrong < right, says="nothing but the answers' quality would tell"
    )
    there = held.count()
    with herdbook.connect() as other:
        wrongly = other.documents.open(held.name, encoder=changed.embed)
        space = new.space.fingerprint
        vector = queries[0].tolist()
        refused = {
            "a search with v3's vectors": lambda: held.search_by_vector(vector, space=space),
            "a write of v3's vectors": lambda: held.add_vectors(texts, queries, space=space),
            "a search through v3": lambda: wrongly.search(texts[0]),
            "a write through v3": lambda: wrongly.add(texts[:1]),
        }
        told = {what: _refusal(act) for what, act in refused.items()}
    say(next(iter(told.values())) or "it was not refused")
    for what, why in told.items():
        tour.facts.hold(f"refused: {what}", holds=bool(why), says=f"{what} is refused")
    tour.facts.hold("nothing_written", holds=held.count() == there, says="nothing was written")


def bridge(tour: Tour) -> None:
    """Try maps from v3's queries to v2's vectors, and say what came of it."""
    heading("A bridge: may v3's queries search v2's vectors through a map?")
    name, docs = tour.open.name, tour.book.documents
    try:
        built = docs.build_bridge(
            name,
            to="v3",
            encoder=SOURCE,
            demands=demands(tour.documents),
            pairs=PAIRS,
            dry_run=True,
        )
    except Invalid as few:
        tour.facts.figures["bridge"] = {"outcome": "too few documents"}
        tour.facts.hold("bridge", holds=not docs.get(name).bridge, says=f"refused: {few}")
        return
    scores = {kind: round(score, 3) for kind, score in built.scores.items()}
    say(f"nDCG@10 on {built.pairs:,} pairs: {scores}")
    staying = max(built.scores["old"], built.scores["identity"])
    best = max(score for kind, score in built.scores.items() if kind not in ("old", "identity"))
    outcome = "refused" if built.bridge is None else "accepted"
    tour.facts.figures["bridge"] = {"outcome": outcome, "scores": scores, "pairs": built.pairs}
    holds = (outcome == "accepted") == (best > staying)
    if built.bridge is not None:
        docs.bridge(name, built.bridge)
        holds = holds and _passed(tour.open)
        docs.unbridge(name)
    tour.facts.hold("bridge", holds=holds, says=f"{outcome}: {built.says}")


def _passed(held: OpenCollection) -> bool:
    """Whether a query of v3 passes over the bridge, to vectors that are v2's still."""
    hits = held.search(corpus.queries(1)[0].text)
    bridged = held.known.bridge
    return bool(bridged and hits) and {h.metadata["embedding_model_version"] for h in hits} == {
        "v2"
    }


def _found(held: OpenCollection, asked: list[corpus.Query], vectors: Any, space: str) -> float:
    """Mean nDCG@10 of the queries, by these vectors."""
    found = 0.0
    for query, vector in zip(asked, vectors, strict=True):
        hits = held.search_by_vector(vector.tolist(), k=K, space=space)
        found += ndcg([hit.id for hit in hits], query.relevant, K)
    return found / len(asked)


def _refusal(act: Any) -> str:
    """What it is refused with; "" when it is not, or with anything but a conflict."""
    try:
        act()
    except Conflict as why:
        return str(why)
    except HerdbookError as other:
        say(f"{type(other).__name__}: {other}")
    return ""
