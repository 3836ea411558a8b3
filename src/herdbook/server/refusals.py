"""Writes down who was refused what, so that an audit shows who tried.

Once a minute for each token and route at most: whoever asks on fills no log with it. Who has no
token that counts is nobody, and only counted.
"""

import time
from collections import OrderedDict
from typing import Final

from starlette.requests import Request

from herdbook.errors import HerdbookError
from herdbook.server.auth import Caller, Timer
from herdbook.server.transactions import Register
from herdbook.services import access

AGAIN_SECONDS: Final = 60.0
REMEMBER_LIMIT: Final = 10_000


class Refusals:
    """Notes refusals in the audit log.

    Args:
        register: whose log it is.
        timer: gives seconds, from any start.
    """

    def __init__(self, register: Register, *, timer: Timer = time.monotonic) -> None:
        self._register = register
        self._timer = timer
        self._noted: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    async def note(self, request: Request) -> None:
        """Note that a caller who is known was refused this."""
        caller: Caller | None = request.scope.get("herdbook.caller")
        if caller is None:
            return
        method, route = request.method, str(request.scope.get("herdbook.route", ""))
        if not self._is_news((caller.owner, method, route)):
            return
        try:
            await self._register.write(
                caller.actor, lambda work: access.refused(work, method=method, route=route)
            )
        except HerdbookError:
            # They are refused all the same, also while nothing can be written.
            return

    def _is_news(self, what: tuple[str, str, str]) -> bool:
        now = self._timer()
        if now - self._noted.get(what, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return False
        self._noted.pop(what, None)
        self._noted[what] = now
        if len(self._noted) > REMEMBER_LIMIT:
            self._noted.popitem(last=False)
        return True
