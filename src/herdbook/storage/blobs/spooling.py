"""Bytes held in a temporary file until all of them are known."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

from herdbook.storage.blobs.files import disk_errors
from herdbook.storage.blobs.passing import CHUNK, Fingerprint


@contextlib.contextmanager
def spooled(chunks: Iterable[bytes]) -> Iterator[tuple[IO[bytes], Fingerprint]]:
    """Hold bytes in a temporary file, to be read again once all of them are known."""
    passed = Fingerprint()
    with contextlib.ExitStack() as stack:
        with disk_errors("make a temporary file"):
            file = stack.enter_context(tempfile.TemporaryFile())
        for chunk in chunks:
            passed.add(chunk)
            with disk_errors("write a temporary file"):
                file.write(chunk)
        file.seek(0)
        yield file, passed


def blocks(file: IO[bytes]) -> Iterator[bytes]:
    """Give what a file holds from where it stands."""
    while block := file.read(CHUNK):
        yield block
