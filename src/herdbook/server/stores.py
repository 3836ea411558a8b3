"""The bytes of the register that is served, for the handlers of requests.

What moves bytes runs in threads, and a thread's transaction waits its turn with all others. Those
threads are not the ones transactions run in: a thread that waits for a thread of its own kind may
wait for ever.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread
from starlette.requests import Request

from herdbook.core.access import Actor
from herdbook.core.keys import Proof
from herdbook.core.ports import Work
from herdbook.core.refs import VersionRef
from herdbook.server.answers import caller, register
from herdbook.server.transactions import Register
from herdbook.services import inspection
from herdbook.services.store import Store
from herdbook.services.versions import Draft
from herdbook.signing.vouching import proven

T = TypeVar("T")

_THREADS: Final = 64
_moving: Final = anyio.lowlevel.RunVar[anyio.CapacityLimiter]("herdbook.moving")
_comparing: Final = anyio.lowlevel.RunVar[anyio.CapacityLimiter]("herdbook.comparing")
_receiving: Final = anyio.lowlevel.RunVar[anyio.CapacityLimiter]("herdbook.receiving")


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

    def write(self, job: Callable[[Work], T], *, long: bool = False) -> T:
        """Run a job that writes, when its turn comes."""
        return anyio.from_thread.run(partial(self._register.write, self._by, job, long=long))


async def checked(request: Request, draft: Draft) -> Draft:
    """Make sure that the bytes of a version to come are there, and look into them."""
    if not draft.artifacts:
        return draft
    return await moving(partial(inspection.checked, store_of(request), draft))


async def proof_of(request: Request, ref: VersionRef, signature: str) -> Proof | None:
    """Find out which of the keys that a model trusts a signature of a version is by."""
    runner = InThread(register(request), caller(request).actor)
    return await moving(partial(proven, runner, ref, signature))


def store_of(request: Request) -> Store:
    """Give the bytes of the register, as whoever asks."""
    runner = InThread(register(request), caller(request).actor)
    return Store(request.app.state.blobs, runner)


async def moving(job: Callable[[], T]) -> T:
    """Run what gives or looks at bytes in a thread that is kept for that."""
    return await _in_one_of(_moving, job)


async def comparing(job: Callable[[], T]) -> T:
    """Run what reads all of some versions: few at once, the others wait."""
    return await _in_one_of(_comparing, job, threads=2)


async def receiving(job: Callable[[], T]) -> T:
    """Run what takes bytes in: whoever sends slowly keeps a thread, and nobody's who fetches."""
    return await _in_one_of(_receiving, job)


async def _in_one_of(
    kept: "anyio.lowlevel.RunVar[anyio.CapacityLimiter]",
    job: Callable[[], T],
    *,
    threads: int = _THREADS,
) -> T:
    limiter = kept.get(None)
    if limiter is None:
        limiter = anyio.CapacityLimiter(threads)
        kept.set(limiter)
    return await anyio.to_thread.run_sync(job, limiter=limiter)
