"""What every part of the story works with, and its beginning."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import herdbook
from examples.documents import corpus
from examples.documents.carry import PRICE, options, sampled
from examples.documents.facts import Facts, heading, say
from examples.documents.lsa import FOLDER, LSA
from herdbook.front.moving.collections import OpenCollection

MODEL: Final = "sentence-encoder"
NAME: Final = "docstrings"
LSA_SOURCE: Final = "python:examples.documents.lsa:embed"
MINILM_SOURCE: Final = "python:examples.documents.minilm:embed"
# LSA needs more texts than it has dimensions, also where few are to be moved.
FITTED_ON: Final = 600


@dataclass(frozen=True, kw_only=True)
class Tour:
    """What every part of the story works with."""

    book: herdbook.Herdbook
    facts: Facts
    folder: Path
    documents: int
    workers: int
    store: str

    @property
    def open(self) -> OpenCollection:
        """The collection, opened here."""
        return self.book.documents.open(NAME)

    def texts(self) -> dict[str, str | None]:
        """Read what the collection holds, as it is searched now."""
        return {
            id: text
            for batch in self.open.batches()
            for id, text in zip(batch.ids, batch.texts, strict=True)
        }


def begin(tour: Tour) -> OpenCollection:
    """Register three versions, and a collection that the first one embeds."""
    heading(f"Three versions of {MODEL}, and a collection that the first embeds")
    texts = [each.text for each in corpus.documents(max(tour.documents, FITTED_ON))]
    LSA.fitted(texts).save(Path(os.environ[FOLDER]))
    for number, said in (
        ("v1", "latent semantic analysis, fitted here; 256 dimensions"),
        ("v2", "all-MiniLM-L6-v2; 384 dimensions"),
        ("v3", "all-MiniLM-L6-v2, lightly changed; 384 dimensions too"),
    ):
        tour.book.models.register(MODEL, number, description=said)
        say(f"{number}: {said}")
    made = tour.book.documents.create(NAME, ref=f"{MODEL}:v1", store=tour.store, encoder=LSA_SOURCE)
    every = corpus.documents(tour.documents)
    made.add([each.text for each in every], ids=[each.id for each in every])
    tour.facts.figures["documents"] = len(every)
    say(f"{made.count():,} docstrings of the installed packages are in {_short(tour)}")
    asked = min(corpus.queries(40), key=lambda query: len(query.text))
    say(f"search: {asked.text}")
    for hit in made.search(asked.text, k=3):
        version = hit.metadata["embedding_model_version"]
        say(f"  {hit.score:.3f}  {hit.id}  ({version})")
    stamped = tour.book.documents.inspect(NAME).spaces
    home = made.now.home.space
    tour.facts.hold(
        "stamped",
        holds=home is not None and stamped == {home.fingerprint: len(every)} and len(every) > 0,
        says=f"each of the {len(every):,} is stamped with the space of what embedded it",
    )
    return made


def rehearse(tour: Tour) -> None:
    """Say what the migration takes, and show that nothing was written."""
    heading("What would it take? A dry run")
    before = _contents(tour.open)
    found = tour.book.documents.rehearse(
        NAME,
        to="v2",
        encoder=MINILM_SOURCE,
        options=options(tour.documents),
        sampled=sampled(tour.documents),
        price_per_million_tokens=PRICE,
    ).estimate
    say(f"{found.documents:,} documents, about {found.tokens:,} tokens, from {found.sampled}")
    say(
        f"{found.seconds / 3600:.3f} hours ({found.seconds:.0f} s) in one process; "
        f"{found.cost:.4f} at {PRICE} a million tokens; {found.space_bytes / 1e6:.1f} MB more"
    )
    one = found.examples[0]
    for when in ("before", "after"):
        number = one[when]["embedding_model_version"]
        hops = one[when]["migration_history"]
        say(f"{one['id']} {when}: {number}, {len(hops)} migrations")
    tour.facts.figures["rehearsed"] = {"seconds": found.seconds, "tokens": found.tokens}
    tour.facts.hold(
        "dry_run",
        holds=_contents(tour.open) == before
        and not tour.book.documents.migrations(collection=NAME).items
        and found.documents == tour.documents,
        says=f"it says what {len(found.examples)} documents would become, and wrote nothing",
    )


def _contents(collection: OpenCollection) -> list[object]:
    return [
        row
        for batch in collection.batches()
        for row in zip(batch.ids, batch.texts, map(str, batch.metadata), strict=True)
    ]


def searched(tour: Tour) -> set[str]:
    """Search; gives the versions it meets."""
    asked = corpus.queries(1)[0].text
    hits = tour.open.search(asked)
    return {hit.metadata["embedding_model_version"] for hit in hits}


def _short(tour: Tour) -> str:
    return tour.store.partition(":")[0]
