"""What a kind of vector store has to say for the suite to run on it.

A module `kinds_<library>.py` beside this one names its kinds in `KINDS`, and fixtures they need,
such as a server, in `FIXTURES`; `conftest.py` finds both.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of store.

    Args:
        name: shown in the names of tests.
        address: gives the address of a store nothing was written to.
        durable: whether it can be opened again at that address, with what was in it.
        silent: the address of one that does not answer, if there can be one.
    """

    name: str
    address: Callable[[pytest.FixtureRequest], str]
    durable: bool = True
    silent: str = ""
