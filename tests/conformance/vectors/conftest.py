"""Every test here runs on a vector store of each kind."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

import pytest

from herdbook.core.vectors import Vectors
from herdbook.storage.vectors import opened
from tests.conformance.vectors.kinds import Kind

_MODULES = [
    import_module(f"tests.conformance.vectors.{path.stem}")
    for path in sorted(Path(__file__).parent.glob("kinds_*.py"))
]
KINDS: list[Kind] = [kind for module in _MODULES for kind in module.KINDS]
# pytest looks for fixtures among the names of this module.
globals().update(
    {name: getattr(module, name) for module in _MODULES for name in getattr(module, "FIXTURES", ())}
)


@pytest.fixture(params=KINDS, ids=lambda kind: str(kind.name))
def kind(request: pytest.FixtureRequest) -> Kind:
    """The kind of the store."""
    found: Kind = request.param
    return found


@pytest.fixture
def address(kind: Kind, request: pytest.FixtureRequest) -> str:
    """Where the store is."""
    return kind.address(request)


@pytest.fixture
def open_again(kind: Kind, address: str) -> Iterator[Callable[[], Vectors]]:
    """Open the store once more, in the same place."""
    with ExitStack() as closing:

        def opens() -> Vectors:
            if not kind.durable:
                pytest.skip("what it keeps ends with it")
            store = opened(address)
            closing.callback(store.close)
            return store

        yield opens


@pytest.fixture
def vectors(address: str) -> Iterator[Vectors]:
    """An empty store."""
    store = opened(address)
    yield store
    store.close()
