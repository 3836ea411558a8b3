"""The bytes of the register that is served, for the handlers of requests.

What moves bytes runs in threads, and a thread's transaction waits its turn with all others.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import anyio.from_thread
from starlette.requests import Request

from herdbook.core.access import Actor
from herdbook.core.ports import Work
from herdbook.server.answers import caller, register
from herdbook.server.transactions import Register
from herdbook.services import inspection
from herdbook.services.store import Store
from herdbook.services.versions import Draft

T = TypeVar("T")


class InThread:
    """Runs jobs from a thread that the event loop started.

    Args:
        register: what is served.
        by: who acts.
    """

    def __init__(self, register: Register, by: Actor) -> None:
        self._register = register
        self._by = by

    def read(self, job: Callable[[Work], T]) -> T:
        """Run a job that reads."""
        with self._register.opened(self._by) as work:
            return job(work)

    def write(self, job: Callable[[Work], T]) -> T:
        """Run a job that writes, when its turn comes."""
        return anyio.from_thread.run(partial(self._register.write, self._by, job))


async def checked(request: Request, draft: Draft) -> Draft:
    """Make sure that the bytes of a version to come are there, and look into them."""
    if not draft.artifacts:
        return draft
    return await register(request).slowly(partial(inspection.checked, store_of(request), draft))


def store_of(request: Request) -> Store:
    """Give the bytes of the register, as whoever asks."""
    runner = InThread(register(request), caller(request).actor)
    return Store(request.app.state.blobs, runner)
