"""Vector stores: one module for each kind, opened by address; its library is imported then."""

from importlib import import_module
from typing import Final

from herdbook.core.vectors import Vectors
from herdbook.errors import MissingExtra
from herdbook.storage.vectors.addresses import FORMS, kind_of

# What each kind's module imports, and the extra that brings it.
_NEEDS: Final = {
    "pgvector": ("numpy", "pgvector"),
    "lancedb": ("lancedb", "lancedb"),
    "chroma": ("chromadb", "chroma"),
    "qdrant": ("qdrant_client", "qdrant"),
    "qdrant-edge": ("qdrant_edge", "qdrant-edge"),
}

__all__ = ["FORMS", "opened"]


def opened(address: str) -> Vectors:
    """Open the vector store at an address; a server is asked when it is first used.

    Args:
        address: one of the forms in `FORMS`.

    Raises:
        Invalid: it is no address of a vector store, or holds a password.
        MissingExtra: the store's library is not installed.
    """
    kind = kind_of(address)
    library, extra = _NEEDS[kind]
    try:
        import_module(library)
        module = import_module(f"herdbook.storage.vectors.{kind.replace('-', '_')}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("herdbook"):
            raise
        raise MissingExtra(f"{kind} needs {error.name}: pip install 'herdbook[{extra}]'") from None
    store: Vectors = module.opened(address)
    return store
