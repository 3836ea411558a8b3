"""Files to a server and from it: sent when it lacks them, verified when they arrive."""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, repeat
from pathlib import Path
from typing import Any, Final

import httpx2

from herdbook.client import answers, routes
from herdbook.core.artifacts import Artifact, Missing
from herdbook.core.blobs import How, Said, Stored, silent
from herdbook.errors import (
    AlreadyExists,
    Corrupt,
    HerdbookError,
    Invalid,
    Unavailable,
    Unreachable,
)
from herdbook.front.folders import changed, hashed, opened

CHUNK: Final = 1 << 20
AT_ONCE: Final = 4
GROUP: Final = 500
TRIES: Final = 5
# What has to arrive within the patience of a client, so that nobody is held for ever.
SLOWEST: Final = 1 << 14
PATIENCE_SECONDS: Final = 30.0
# A server makes what arrived durable before it answers.
ANSWER_SECONDS: Final = 600.0

Http = Callable[[], httpx2.Client]
Failed = Callable[[Exception], HerdbookError]


class Transfers:
    """Moves files over a client's connections.

    Args:
        address: the server's.
        http: gives the client.
        failed: makes the error of a connection.
    """

    def __init__(self, address: str, http: Http, failed: Failed) -> None:
        self._address = address
        self._http = http
        self._failed = failed

    # --- to the server ---

    def send(self, paths: Sequence[Path], said: Said) -> Iterator[Stored]:
        """Hash files, ask which the server lacks, send those; told of in their order."""
        coming = iter(paths)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="herdbook") as pool:
            while group := list(islice(coming, GROUP)):
                found = list(pool.map(hashed, group))
                asked = list(dict.fromkeys(digest for digest, _ in found))
                lacking = self._lacking(asked).intersection(asked)
                first = {digest: path for path, (digest, _) in zip(group, found, strict=True)}
                sizes = dict(found)
                said(sum(size for digest, size in found if digest not in lacking))
                # An error, or Ctrl-C, ends what has not begun: what `map` gives sees to that.
                wanted = sorted(lacking)
                paths, lengths = [first[d] for d in wanted], [sizes[d] for d in wanted]
                deque(pool.map(self._put, paths, wanted, lengths, repeat(said)), maxlen=0)
                yield from (
                    Stored(digest=digest, size=size, new=digest in lacking)
                    for digest, size in found
                )

    def _lacking(self, digests: Sequence[str]) -> set[str]:
        request = routes.request("artifacts.missing", {"digests": digests})
        answer = self._asked(
            request.method,
            request.path,
            content=request.body,
            headers={"Content-Type": "application/json"},
        )
        return set(answers.read(Missing, answer.content).digests)

    def _put(self, path: Path, digest: str, size: int, said: Said) -> None:
        try:
            with opened(path) as file:
                self.take(_blocks(file, size, path, said), digest, size)
        except Invalid as refusal:
            if refusal.field == "digest":
                raise changed(path) from None
            raise

    def take(self, chunks: Iterable[bytes], digest: str, size: int) -> Stored:
        """Send the bytes of a digest."""
        answer = self._asked(
            "PUT",
            routes.blob(digest),
            content=chunks,
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
            timeout=httpx2.Timeout(self._http().timeout.connect, read=ANSWER_SECONDS),
        )
        return answers.read(Stored, answer.content)

    def _asked(self, method: str, path: str, **more: Any) -> answers.Answer:
        try:
            return answers.asked(self._http(), method, path, address=self._address, **more)
        except httpx2.HTTPError as error:
            raise self._failed(error) from error

    # --- from the server ---

    def fetch(self, file: Artifact, to: Path, said: Said) -> How:
        """Put a file's bytes at a path; a connection that breaks is taken up where it broke.

        Raises:
            Corrupt: the server gave other bytes, or more of them than it said.
        """
        try:
            fd = os.open(to, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            raise AlreadyExists(f"{to} is there already; nothing was written over it") from None
        try:
            with os.fdopen(fd, "wb") as written:
                self._fetch(file, written, said)
                written.flush()
                os.fchmod(written.fileno(), 0o444)
                os.fsync(written.fileno())
        except OSError as error:
            to.unlink(missing_ok=True)
            raise Unavailable(f"cannot write {to}: {error.strerror}; try again") from error
        except BaseException:
            to.unlink(missing_ok=True)
            raise
        return How.COPIED

    def stream(self, file: Artifact) -> Iterator[bytes]:
        """Give the bytes of a file; Corrupt in place of the last when they are others."""
        held: list[bytes] = []
        arrived = _Arrived(file, held.append, silent, self._patience())
        for chunk in self._chunks(file, 0):
            yield from held
            held.clear()
            arrived.add(chunk)
        arrived.check()
        yield from held

    def _fetch(self, file: Artifact, written: Any, said: Said) -> None:
        arrived = _Arrived(file, written.write, said, self._patience())
        tries = 0
        while tries == 0 or not arrived.whole:
            before = arrived.size
            try:
                self._receive(file, arrived)
            except (Unreachable, Unavailable):
                # As long as enough arrives it is worth going on.
                tries = 1 if arrived.size - before >= SLOWEST else tries + 1
                if arrived.too_slow or tries >= TRIES:
                    raise
                time.sleep(0.02 * 2**tries)
            else:
                break
        arrived.check()

    def _receive(self, file: Artifact, arrived: "_Arrived") -> None:
        for chunk in self._chunks(file, arrived.size):
            arrived.add(chunk)
        if not arrived.whole:
            raise Unreachable(f"{self._address} ended {file.path} after {arrived.size:,} bytes")

    def _chunks(self, file: Artifact, start: int) -> Iterator[bytes]:
        headers = {"Range": f"bytes={start}-"} if start else {}
        try:
            with self._http().stream("GET", routes.blob(file.digest), headers=headers) as answer:
                if not answer.is_success:
                    raise answers.refused(answer, address=self._address)
                answers.refuse_packed(answer, self._address)
                # Who cannot go on where it stopped begins anew.
                known = start if answer.status_code != httpx2.codes.PARTIAL_CONTENT else 0
                for chunk in answer.iter_raw():
                    yield chunk[known:]
                    known = max(0, known - len(chunk))
        except httpx2.HTTPError as error:
            raise self._failed(error) from error

    def _patience(self) -> float:
        return self._http().timeout.read or PATIENCE_SECONDS


class _Arrived:
    """The bytes of a file as they arrive."""

    def __init__(
        self, file: Artifact, keep: Callable[[bytes], object], said: Said, patience: float
    ) -> None:
        self._file, self._keep, self._said = file, keep, said
        self._passed = hashlib.sha256()
        self._patience = patience
        self._since, self._then = time.monotonic(), 0
        self.size = 0
        self.too_slow = False

    @property
    def whole(self) -> bool:
        """Whether as many arrived as were promised."""
        return self.size == self._file.size

    def add(self, chunk: bytes) -> None:
        """Write a chunk; Corrupt when it is more than was promised."""
        if self.size + len(chunk) > self._file.size:
            raise _other(self._file, f"more than {self._file.size:,} bytes")
        self.size += len(chunk)
        self._passed.update(chunk)
        self._keep(chunk)
        self._said(len(chunk))
        self._pace()

    def _pace(self) -> None:
        now = time.monotonic()
        if now - self._since < self._patience:
            return
        self.too_slow = self.size - self._then < SLOWEST and not self.whole
        if self.too_slow:
            raise Unavailable(
                f"{self._file.path} arrives too slowly, under {SLOWEST:,} bytes in "
                f"{self._patience:g} s; look at the network, or raise HERDBOOK_TIMEOUT_SECONDS"
            )
        self._since, self._then = now, self.size

    def check(self) -> None:
        """Compare what arrived with what was promised; Corrupt."""
        digest = f"sha256:{self._passed.hexdigest()}"
        if digest != self._file.digest:
            raise _other(self._file, f"bytes of {digest}")


def _other(file: Artifact, what: str) -> Corrupt:
    return Corrupt(
        f"the server sent {what} for {file.path}, which is {file.digest}; nothing of it was kept. "
        "Let `herdbook artifacts verify` look at the store"
    )


def _blocks(file: Any, size: int, path: Path, said: Said) -> Iterator[bytes]:
    left = size
    while chunk := file.read(min(CHUNK, left + 1)):
        left -= len(chunk)
        if left < 0:
            break
        said(len(chunk))
        yield chunk
    if left:
        raise changed(path)
