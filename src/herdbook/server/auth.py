"""Who asks: in local mode the user of this machine, else whoever a token belongs to."""

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from starlette.requests import Request

from herdbook.core.access import Action, Actor, Token
from herdbook.core.ports import Work
from herdbook.errors import HerdbookError, Throttled, Unauthenticated
from herdbook.server.transactions import Register
from herdbook.services import access
from herdbook.storage.sql.work import utc_now

# A revoked token must not count a second later, so nothing is remembered for longer.
REMEMBER_SECONDS: Final = 1.0
REMEMBER_LIMIT: Final = 10_000
WRONG_LIMIT: Final = 20
WRONG_PER_SECOND: Final = 0.5
TOKEN_LIMIT: Final = 200
NOTE_EVERY: Final = timedelta(hours=1)

Timer = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Args:
        actor: who, with what they were granted.
        owner: whose idempotency keys are whose: two tokens of one name are two owners.
        until: until when this is sure without asking the register again, on the gate's clock.
    """

    actor: Actor
    owner: str
    until: float = math.inf


class Throttle:
    """Counts wrong tokens by address; a bucket that fills again, in bounded memory.

    Args:
        timer: gives seconds, from any start.
    """

    def __init__(self, *, timer: Timer = time.monotonic) -> None:
        self._timer = timer
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wrong(self, address: str) -> None:
        """Count one.

        Raises:
            Throttled: there were too many.
        """
        now = self._timer()
        left, at = self._held.pop(address, (float(WRONG_LIMIT), now))
        left = min(WRONG_LIMIT, left + (now - at) * WRONG_PER_SECOND)
        self._held[address] = (max(left - 1, 0), now)
        if len(self._held) > REMEMBER_LIMIT:
            self._held.popitem(last=False)
        if left < 1:
            wait = int((1 - left) / WRONG_PER_SECOND) + 1
            raise Throttled(
                f"too many wrong tokens from this address; wait {wait} s",
                details={"retry_after_seconds": wait},
            )


class Gate:
    """Finds out who asks.

    Args:
        register: where tokens are kept.
        local: who everyone is in local mode; None when a token is needed.
        timer: gives seconds, from any start.
    """

    def __init__(
        self, register: Register, *, local: Actor | None, timer: Timer = time.monotonic
    ) -> None:
        self._register = register
        self._local = Caller(local, local.name) if local else None
        self._timer = timer
        self._throttle = Throttle(timer=timer)
        self._held: OrderedDict[bytes, Caller] = OrderedDict()

    async def caller(self, request: Request) -> Caller:
        """Tell who asks.

        Raises:
            Unauthenticated: no token, or one that does not count.
            Throttled: too many wrong ones from that address.
        """
        if self._local is not None:
            return self._local
        secret = _bearer(request)
        mark = hashlib.sha256(secret.encode(errors="replace")).digest()
        held = self._held.get(mark)
        if held is not None and self._timer() < held.until:
            return held
        self._held.pop(mark, None)
        return await self._identify(request, secret, mark)

    async def _identify(self, request: Request, secret: str, mark: bytes) -> Caller:
        asked = self._timer()
        try:
            actor, token = await self._register.read(
                _NOBODY, lambda work: access.identify(work, secret)
            )
        except Unauthenticated:
            self._throttle.wrong(request.client.host if request.client else "")
            raise
        caller = Caller(actor, f"token {token.id}", until=asked + REMEMBER_SECONDS)
        self._held[mark] = caller
        if len(self._held) > REMEMBER_LIMIT:
            self._held.popitem(last=False)
        await self._note_use(token)
        return caller

    async def _note_use(self, token: Token) -> None:
        if token.last_used_at and utc_now() - token.last_used_at < NOTE_EVERY:
            return

        def note(work: Work) -> None:
            access.used(work, token)

        try:
            await self._register.write(_NOBODY, note)
        except HerdbookError:
            # That a token was used is noted when the database can be written again.
            return


_NOBODY: Final = Actor("server")


def _bearer(request: Request) -> str:
    given = request.headers.getlist("authorization")
    kind, _, secret = (given[0] if len(given) == 1 else "").partition(" ")
    if kind.lower() != "bearer" or not secret or len(secret) > TOKEN_LIMIT:
        raise Unauthenticated(
            "send a token: Authorization: Bearer hb_…; an admin makes one with "
            "`herdbook tokens create`"
        )
    return secret


async def admit(request: Request, action: Action) -> Caller:
    """Tell who asks, and refuse whom nothing allows this action anywhere.

    Raises:
        Forbidden: no grant of the caller, on whatever model, reaches that far.
    """
    gate: Gate = request.app.state.gate
    caller = await gate.caller(request)
    request.scope["herdbook.caller"] = caller
    caller.actor.allow_somewhere(action)
    return caller
