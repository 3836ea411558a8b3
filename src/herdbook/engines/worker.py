"""What a worker process of the local engine does."""

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from herdbook.engines.calling import Answer, called, packed, unpacked
from herdbook.errors import HerdbookError

LOOK_SECONDS: Final = 1.0


def serve(connection: Connection, parent: int) -> None:
    """Make what is called, say so, and do tasks until there are no more.

    Args:
        connection: first `make` comes by it, then the tasks; answers go back in that order.
        parent: process id of who started this one.
    """
    # Ctrl-C in a terminal goes to every process; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, args=(parent,), daemon=True, name="follow").start()
    # An end without a message: the parent has no more tasks, or is no more.
    with contextlib.suppress(EOFError, OSError):
        _work(connection)


def _work(connection: Connection) -> None:
    try:
        call = unpacked(connection.recv_bytes())
    except HerdbookError as error:
        connection.send_bytes(packed(Answer(error=error)))
        return
    connection.send_bytes(packed(Answer()))
    while True:
        task = connection.recv_bytes()
        connection.send_bytes(answered(call, task))


def answered(call: Callable[[Any], Any], task: bytes) -> bytes:
    """Do one packed task and pack the answer."""
    return packed(called(lambda data: call(pickle.loads(data)), task))  # noqa: S301 - our parent's


def _follow(parent: int) -> None:
    """End this process when its parent is gone, whatever it works on."""
    begetter = multiprocessing.parent_process()
    sentinels = [begetter.sentinel] if begetter else []
    # The pipe tells at once; the parent's id also tells when another process holds the pipe.
    while os.getppid() == parent and not wait(sentinels, LOOK_SECONDS):
        pass
    os._exit(1)
