"""No network for a process, beneath every library: also those not written in Python."""

import ctypes
import platform
import struct
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from typing import Final

KILLED: Final = -31  # by SIGSYS
TIMEOUT_SECONDS: Final = 120

_SOCKET_CALL: Final = {"x86_64": 41, "aarch64": 198}
_NO_NEW_PRIVILEGES, _SET_FILTER = 38, 22
_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _KILL = 0x7FFF0000, 0x80000000


class _Program(ctypes.Structure):
    """What the kernel takes a filter as."""

    _fields_ = (("length", ctypes.c_ushort), ("at", ctypes.c_void_p))


def forbid() -> None:
    """Have the kernel kill this process when it makes a socket that is not of the machine itself.

    It cannot be taken back, and no library can catch it.
    """
    steps = [
        (_LOAD, 0, 0, 0),  # the number of the system call
        (_EQUALS, 0, 3, _SOCKET_CALL[platform.machine()]),
        (_LOAD, 0, 0, 16),  # its first argument, the family
        (_EQUALS, 1, 0, 1),  # AF_UNIX
        (_RETURN, 0, 0, _KILL),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *step) for step in steps)
    held = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(steps), ctypes.addressof(held))
    kernel = ctypes.CDLL(None, use_errno=True)
    if kernel.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no new privileges")
    if kernel.prctl(_SET_FILTER, 2, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "the filter")


def run_without(code: str, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in a process that has no network; it ends with KILLED when it asks for one."""
    return _run("from tests.loader.no_network import forbid\nforbid()\n", code, words, environ)


def run_with(code: str, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run Python in a process of its own."""
    return _run("", code, words, environ)


def _run(
    before: str, code: str, words: tuple[str, ...], environ: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", before + textwrap.dedent(code), *words],
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
