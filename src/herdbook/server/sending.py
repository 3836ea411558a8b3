"""Whole files from the disk's memory to a connection: the system moves them, this process none.

To read a file and to write it to a socket copies every byte twice. A file goes past the transport,
on the socket below it, once all that the transport holds is out.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Final

import anyio
import anyio.to_thread
from starlette.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from herdbook.errors import Unavailable

# Where in the scope of a request its connection says that it can send a file.
SENDS: Final = "herdbook.sends"
PATHSEND: Final = "http.response.pathsend"
# So much at once, then others have their turn.
PART: Final = 1 << 20

Sends = Callable[[str], Awaitable[None]]


class SentFile(FileResponse):
    """A file; all of it goes out past this process where the connection can."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        sends: Sends | None = scope.get(SENDS)
        if sends is None:
            await super().__call__(scope, receive, send)
            return

        async def passing(message: Message) -> None:
            if message["type"] == PATHSEND:
                await sends(message["path"])
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        extensions = {**scope.get("extensions", {}), PATHSEND: {}}
        await super().__call__({**scope, "extensions": extensions}, receive, passing)


def sends(protocol: HttpToolsProtocol) -> Sends | None:
    """Give what answers the newest request of a connection with a file.

    None where bytes have to be encrypted first.
    """
    if sys.platform != "linux" or protocol.scheme != "http":
        return None
    return partial(_send, protocol, protocol.cycle)


async def _send(protocol: Any, cycle: Any, path: str) -> None:
    """Send as many bytes of a file as the headers said."""
    transport = protocol.transport
    # The flow is paused by anything that is not out.
    transport.set_write_buffer_limits(high=0)
    try:
        await protocol.flow.drain()
        if cycle.disconnected or transport.is_closing():
            _gone(protocol, cycle)
            return
        if transport.get_write_buffer_size():
            raise Unavailable("what came before a blob is not out yet")
        with _opened(path) as file, _second(transport) as out:
            await _parts(protocol, cycle, file, out)
    finally:
        if not transport.is_closing():
            transport.set_write_buffer_limits()


async def _parts(protocol: Any, cycle: Any, file: int, out: int) -> None:
    at = 0
    while cycle.expected_content_length and not cycle.disconnected:
        count = min(PART, cycle.expected_content_length)
        try:
            if _in_memory(file, at, at + count - 1):
                sent = os.sendfile(out, file, at, count)
            else:
                # The disk is waited for where nobody else has to wait.
                sent = await anyio.to_thread.run_sync(os.sendfile, out, file, at, count)
        except BlockingIOError:
            await _writable(protocol, out)
            continue
        except ConnectionError:
            _gone(protocol, cycle)
            return
        except OSError as error:
            raise Unavailable(f"a blob cannot be sent: {error.strerror}") from error
        if not sent:
            raise Unavailable("a blob became shorter while it was sent")
        at += sent
        cycle.expected_content_length -= sent
        await asyncio.sleep(0)


def _gone(protocol: Any, cycle: Any) -> None:
    """Note that nobody is there; the transport would find out a moment later."""
    protocol.transport.abort()
    cycle.disconnected = True


def _in_memory(file: int, first: int, last: int) -> bool:
    """Whether the ends of a part can be read without waiting for the disk."""
    try:
        return all(os.preadv(file, [bytearray(1)], at, os.RWF_NOWAIT) for at in (first, last))
    except OSError:
        return False


async def _writable(protocol: Any, out: int) -> None:
    # Whoever waits for the flow is woken too when the connection is lost.
    protocol.flow.pause_writing()
    protocol.loop.add_writer(out, protocol.flow.resume_writing)
    try:
        await protocol.flow.drain()
    finally:
        protocol.loop.remove_writer(out)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise Unavailable(f"a blob cannot be sent: {error.strerror}") from error
    try:
        yield fd
    finally:
        os.close(fd)


@contextlib.contextmanager
def _second(transport: asyncio.Transport) -> Iterator[int]:
    """Give the socket a second number: under its first one the loop watches it already."""
    fd = os.dup(transport.get_extra_info("socket").fileno())
    try:
        yield fd
    finally:
        os.close(fd)
