"""Blobs in an object store (S3, Google Cloud Storage, Azure), or in memory.

An object becomes visible with the last request of its upload, and that is sent only when every
byte was compared with the digest it goes by. An upload that is cut off leaves parts that nobody
sees; a lifecycle rule of the bucket removes them (AbortIncompleteMultipartUpload).
"""

import contextlib
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import MemoryStore, from_url

from herdbook.core.artifacts import blob_digest
from herdbook.core.blobs import Held, How, Opened, Said, Stored, silent
from herdbook.errors import Corrupt, Invalid, NotFound, Unavailable
from herdbook.storage.blobs.connecting import client, refuse_other, tries
from herdbook.storage.blobs.files import Source, put_at, refuse_taken
from herdbook.storage.blobs.opening import opened
from herdbook.storage.blobs.passing import (
    CHUNK,
    MARK,
    MARK_LIMIT,
    Fingerprint,
    damaged,
    span,
    verified,
)
from herdbook.storage.blobs.spooling import blocks, spooled

# One request moves so much; more than that is held in memory nowhere, times AT_ONCE.
PART: Final = 8 << 20
AT_ONCE: Final = 4
FILES_AT_ONCE: Final = 4
PARTS_LIMIT: Final = 9_000  # S3 takes 10,000
PATIENCE: Final = timedelta(seconds=60)

_KEY: Final = re.compile(r"sha256/([0-9a-f]{2})/(\1[0-9a-f]{62})\Z")
_STATUS: Final = re.compile(r"\b(?:status|Status)[^0-9]{0,20}([45]\d\d)\b")


class ObjectBlobs:
    """Blobs as objects `sha256/ab/<64 digits>` of a bucket.

    Args:
        store: an object store of obstore.
        address: how to name it to people, without secrets.
    """

    def __init__(self, store: Any, address: str) -> None:
        self._store = store
        self.address = address
        self._owner = ""

    @classmethod
    def at(cls, address: str, *, patience: timedelta = PATIENCE) -> "ObjectBlobs":
        """Open `s3://`, `gs://` or `az://bucket/prefix`, or `memory:`.

        Args:
            address: the credentials and the endpoint come from the environment.
            patience: how long one request may take; all tries of it together take thrice that.

        Raises:
            Invalid: the address cannot be one, or holds a secret.
        """
        if address.startswith("memory:"):
            return cls(MemoryStore(), "memory:")
        refuse_other(address)
        try:
            store = from_url(address, client_options=client(patience), retry_config=tries(patience))
        except (BaseError, ValueError):
            raise Invalid(
                f"{address} cannot be opened: look for the settings of the bucket in the "
                "environment, such as AWS_REGION or AZURE_STORAGE_ACCOUNT_NAME",
                field="blobs",
            ) from None
        return cls(store, address)

    # --- what is there ---

    def size(self, digest: str) -> int | None:
        """Give the size of a blob, or None when it is not there."""
        with self._errors("look for a blob"):
            try:
                return int(obstore.head(self._store, _key(digest))["size"])
            except FileNotFoundError:
                return None

    def sizes(self, digests: Iterable[str]) -> dict[str, int]:
        """Give the sizes of those that are there, many asked for at once."""
        asked = list(digests)
        with ThreadPoolExecutor(4 * FILES_AT_ONCE, thread_name_prefix="blobs") as pool:
            found = zip(asked, pool.map(self.size, asked), strict=True)
            return {digest: size for digest, size in found if size is not None}

    def file(self, digest: str) -> Path | None:
        """Tell that no blob here is a file."""
        if self.size(digest) is None:
            raise self._missing(digest)
        return None

    def verify(self, digest: str) -> None:
        """Read a whole blob."""
        for _ in self.read(digest):
            pass

    def each(self) -> Iterator[Held]:
        """Give every blob; an object whose key is no digest is none."""
        with self._errors("list the blobs"):
            batches = iter(obstore.list(self._store, "sha256", chunk_size=1_000))
        while True:
            with self._errors("list the blobs"):
                batch = next(batches, None)
            if batch is None:
                return
            yield from filter(None, map(_held, batch))

    # --- out ---

    def opened(self, digest: str, *, verified: bool = False) -> AbstractContextManager[Opened]:
        """Open a blob to read parts of it."""
        return opened(self, digest, verified=verified)

    def read(self, digest: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Give the bytes, several parts fetched at once; a whole blob is verified."""
        size = self.size(digest)
        if size is None:
            raise self._missing(digest)
        start, end = span(start, end, size)
        chunks = self._chunks(digest, start, end)
        return verified(chunks, digest) if (start, end) == (0, size) else chunks

    def _chunks(self, digest: str, start: int, end: int) -> Iterator[bytes]:
        starts = iter(range(start, end, PART))
        pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="blobs")
        waiting: deque[Future[memoryview]] = deque()
        try:
            for at in starts:
                waiting.append(pool.submit(self._part, digest, at, min(at + PART, end)))
                if len(waiting) == AT_ONCE:
                    yield from _cut(waiting.popleft().result())
            while waiting:
                yield from _cut(waiting.popleft().result())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _part(self, digest: str, start: int, end: int) -> memoryview:
        with self._errors("read a blob"):
            try:
                return memoryview(
                    obstore.get_range(self._store, _key(digest), start=start, end=end)
                )
            except FileNotFoundError:
                raise self._missing(digest) from None

    def give(self, digest: str, path: Path, *, link: bool = True) -> How:  # noqa: ARG002 - the port's
        """Put a blob at a path that is not there yet; always a copy."""
        refuse_taken(path)
        put_at(path, self.read(digest))
        return How.COPIED

    # --- in ---

    def write(self, chunks: Iterable[bytes], *, digest: str = "", size: int = -1) -> Stored:
        """Take bytes in; without a digest more than a part of them wait in a temporary file."""
        coming = iter(chunks)
        first = _gathered(coming)
        passed = Fingerprint.of(first)
        if passed.size < PART:
            passed.check(digest, size)
            return self._put(b"".join(first), passed)
        every = chain(first, coming)
        there = self.size(digest) if digest else None
        if there is not None and size in {-1, there}:
            return self._compared(every, digest, size)
        if digest:
            return self._send(every, digest, size)
        with spooled(every) as (file, whole):
            whole.check("", size)
            if self.size(whole.digest) == whole.size:
                return self._stored(whole, new=False)
            return self._send(blocks(file), whole.digest, whole.size)

    def _compared(self, chunks: Iterable[bytes], digest: str, size: int) -> Stored:
        """Only compare the bytes of a blob that is there with it."""
        passed = Fingerprint.of(chunks)
        passed.check(digest, size)
        there = self.size(digest)
        if there is None:
            raise Unavailable(f"{digest} was removed meanwhile; try again")
        if there != passed.size:
            raise damaged(passed, there)
        return self._stored(passed, new=False)

    def take(self, path: Path, *, said: Said = silent) -> Stored:
        """Take a file in; more than a part of it is read twice, so that it is sent only if new."""
        with Source(path, said) as source:
            if source.size < PART:
                data = b"".join(map(bytes, source.chunks()))
                return self._put(data, Fingerprint.of([data]))
            passed = Fingerprint.of(source.chunks())
            if self.size(passed.digest) == passed.size:
                return self._stored(passed, new=False)
            try:
                return self._send(map(bytes, source.chunks()), passed.digest, passed.size)
            except Corrupt:
                raise source.changed() from None

    def take_all(self, paths: Iterable[Path], *, said: Said = silent) -> Iterator[Stored]:
        """Take many files in, several at once."""
        coming = iter(paths)
        with ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="blobs") as pool:
            while group := list(islice(coming, 2 * FILES_AT_ONCE)):
                yield from pool.map(partial(self.take, said=said), group)

    def _put(self, data: bytes, passed: Fingerprint) -> Stored:
        """Send few bytes in one request, unless they are there."""
        key, size = _key(passed.digest), len(data)
        if self.size(passed.digest) == size:
            return self._stored(passed, new=False)
        with self._unless_there(passed.digest, size), self._errors("write a blob"):
            try:
                obstore.put(self._store, key, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                if self.size(passed.digest) == size:
                    return self._stored(passed, new=False)
                obstore.put(self._store, key, data, use_multipart=False)  # that one was damaged
            except NotSupportedError:
                obstore.put(self._store, key, data, use_multipart=False)  # equal bytes, no harm
        return self._stored(passed, new=True)

    def _send(self, chunks: Iterable[bytes], digest: str, size: int) -> Stored:
        """Send bytes part by part; they are completed only if they are those of the digest."""
        sending = _Sending(chunks, digest, size)
        with self._unless_there(digest, size), sending.heard(), self._errors("write a blob"):
            obstore.put(
                self._store,
                _key(digest),
                iter(sending),
                use_multipart=True,
                chunk_size=_part_size(size),
                max_concurrency=AT_ONCE,
            )
        return self._stored(sending.passed, new=True)

    @contextlib.contextmanager
    def _unless_there(self, digest: str, size: int) -> Iterator[None]:
        """Take a failure for success when only the answer was lost."""
        try:
            yield
        except Unavailable:
            with contextlib.suppress(Unavailable):
                if size >= 0 and self.size(digest) == size:
                    return
            raise

    def _stored(self, passed: Fingerprint, *, new: bool) -> Stored:
        return Stored(digest=passed.digest, size=passed.size, new=new)

    # --- keeping house ---

    def claim(self, key: str) -> str:
        """Leave the mark of a register, see the port."""
        if not self._owner:
            with self._errors("read whose store it is"):
                with contextlib.suppress(AlreadyExistsError, PreconditionError):
                    obstore.put(self._store, MARK, key.encode(), mode="create", use_multipart=False)
                found = bytes(obstore.get_range(self._store, MARK, start=0, end=MARK_LIMIT))
            self._owner = found.decode("ascii", errors="replace")
        return self._owner

    def remove(self, digest: str) -> None:
        """Remove a blob; what is not there is no error."""
        with self._errors("remove a blob"), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, _key(digest))

    def sweep(self, *, before: datetime) -> int:  # noqa: ARG002 - the port's
        """Nothing is left where it could be found; the bucket drops parts by its own rule."""
        return 0

    def close(self) -> None:
        """Forget the store; its connections end with it."""

    def _missing(self, digest: str) -> NotFound:
        return NotFound(f"the store {self.address} holds no {digest}", field="digest")

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            # Not with its own words: they may hold what was signed, or a token.
            raise Unavailable(f"cannot {doing}: {self.address} {_answer(error)}") from None


def _answer(error: Exception) -> str:
    """Say what a store answered, and what mends it."""
    met = _STATUS.search(str(error))
    status = met[1] if met else ""
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or status in {"401", "403"}:
        return "refuses these credentials; set others in the environment and try again"
    if isinstance(error, FileNotFoundError) or status == "404":
        return "is no bucket there is; make it and try again"
    if "redirect" in str(error):
        return "is in another region; set that in the environment and try again"
    return f"answered {status}; try again" if status else "did not answer to the end; try again"


class _Sending:
    """Bytes on their way to a store, compared with their digest before the last are let go."""

    def __init__(self, chunks: Iterable[bytes], digest: str, size: int) -> None:
        self._chunks = chunks
        self._digest = digest
        self._size = size
        self.passed = Fingerprint()
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._chunks:
                self.passed.add(chunk)
                yield chunk
            self.passed.check(self._digest, self._size)
        except GeneratorExit:
            raise  # the client gave up; it says why
        except BaseException as error:
            self.error = error
            raise

    @contextlib.contextmanager
    def heard(self) -> Iterator[None]:
        """Raise what stopped the bytes, where the store's client tells of what followed."""
        try:
            yield
        except BaseException:
            if self.error is None:
                raise
            raise self.error from None


def _key(digest: str) -> str:
    name = blob_digest(digest).removeprefix("sha256:")
    return f"sha256/{name[:2]}/{name}"


def _held(found: Any) -> Held | None:
    met = _KEY.match(found["path"])
    if not met:
        return None
    return Held(digest=f"sha256:{met[2]}", size=found["size"], at=found["last_modified"])


def _cut(part: memoryview) -> Iterator[bytes]:
    for at in range(0, len(part), CHUNK):
        yield bytes(part[at : at + CHUNK])


def _part_size(size: int) -> int:
    return max(PART, -(-size // PARTS_LIMIT)) if size >= 0 else 2 * PART


def _gathered(coming: Iterator[bytes]) -> list[bytes]:
    """Take chunks until they are a part, or all."""
    first, size = [], 0
    for chunk in coming:
        first.append(chunk)
        size += len(chunk)
        if size >= PART:
            break
    return first
