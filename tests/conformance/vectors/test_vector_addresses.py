"""Which addresses open a vector store, and what is said of those that do not."""

import sys

import pytest

from herdbook.errors import Invalid, MissingExtra
from herdbook.storage.vectors import FORMS, opened


@pytest.mark.parametrize(
    "address", ["", "chunks", "pinecone://host", "lancedb:", "qdrant://", "pgvector:herdbook"]
)
def test_what_is_no_address_is_invalid_and_told_the_forms(address: str) -> None:
    with pytest.raises(Invalid, match="pgvector://"):
        opened(address)


def test_every_form_is_told() -> None:
    with pytest.raises(Invalid) as refused:
        opened("elsewhere:chunks")

    assert all(form in refused.value.message for form in FORMS)


@pytest.mark.parametrize(
    ("address", "instead"),
    [
        ("pgvector://majora:hunter2@host/herdbook", "PGPASSWORD"),
        ("pgvector:///herdbook?host=/run&password=hunter2", "PGPASSWORD"),
        ("qdrant://:hunter2@host:6333", "QDRANT_API_KEY"),
        ("qdrant+https://host:6333?api_key=hunter2", "QDRANT_API_KEY"),
        ("chroma://host:8000?token=hunter2", "CHROMA_TOKEN"),
    ],
)
def test_an_address_with_a_password_is_refused_without_repeating_it(
    address: str, instead: str
) -> None:
    with pytest.raises(Invalid, match=instead) as refused:
        opened(address)

    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "library", "extra"),
    [
        ("pgvector://host/herdbook", "numpy", "pgvector"),
        ("lancedb:chunks", "lancedb", "lancedb"),
        ("chroma:chunks", "chromadb", "chroma"),
        ("qdrant:chunks", "qdrant_client", "qdrant"),
        ("qdrant-edge:chunks", "qdrant_edge", "qdrant-edge"),
    ],
)
def test_a_library_that_is_missing_is_named_with_its_extra(
    address: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(MissingExtra, match=rf"pip install 'herdbook\[{extra}\]'"):
        opened(address)
