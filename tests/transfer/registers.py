"""Registers for the tests of moving in and out."""

from collections.abc import Iterator
from contextlib import contextmanager

import herdbook as hb


@contextmanager
def opened(url: str) -> Iterator[hb.Herdbook]:
    """Open a register by its address, and close it."""
    book = hb.connect(url)
    try:
        yield book
    finally:
        book.close()


def furnish(book: hb.Herdbook) -> None:
    """Fill a register with something of every kind."""
    book.models.create("oracle", type="llm", tags=["judge"], description="Судья\u2028für 審査")
    book.models.register("oracle", "v1", samples=90, training_data=["toolbench"])
    book.models.register(
        "majora",
        "v1",
        epochs=3,
        learning_rate=2e-4,
        training_data=["oracle", "toolbench"],
        files={"lora": "out/majora-v1-lora"},
        metrics={"accuracy": 0.85, "f1": 0.82},
        tags={"team": "search", "stable": ""},
    )
    book.models.register("majora", "v3", status="draft")
    book.models.register("majora", "v2", parent=["majora:v1", "oracle:v1"], parent_kind="merge")
    # A parent that was registered after its child.
    book.versions.revise("majora:v3", parent="majora:v2")
    book.evaluations.score("majora:v1", {"accuracy": 0.1 + 0.2}, source="night run")
    book.evaluations.observe("majora:v1", inference_time_ms=12.5, confidence=0.7)
    book.deployments.promote("majora:v1", reason="first")
    book.deployments.promote("majora:v2")
    book.deployments.promote("majora:v1", alias="blue")
    book.deployments.remove("majora", "blue")
    book.models.register("gnn", "1.0.0")
    book.models.register("gnn")
    book.versions.delete("gnn:1.0.1", reason="trained on the test set")
    book.models.register("paraphrase", "v1")
    book.models.delete("paraphrase", reason="renamed")
