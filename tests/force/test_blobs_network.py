"""An object store that answers 500, hangs or cuts off: another try, or a clean failure."""

import asyncio
import contextlib
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from obstore import put
from obstore.store import from_url

from herdbook.core.artifacts import digest_of
from herdbook.errors import Corrupt, HerdbookError, Invalid, MissingExtra, Unavailable
from herdbook.storage.blobs import opened
from herdbook.storage.blobs.objects import ObjectBlobs
from tests.conformance.blobs.stores import new_bucket, opened_s3, s3_server, use_s3
from tests.running import free_port

PUSHES = 24
FAULTS = ("500", "hang", "refuse", "cut request", "cut answer")
SIZES = (0, 1_000, 300_000, 300_001, 9 << 20)
ANSWER_500 = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class FaultyWay:
    """The way to a server; some of the connections that go it come to grief.

    Args:
        target: the server.
        seed: which connections, and how.
    """

    def __init__(self, target: str, seed: int) -> None:
        self.target = urlsplit(target)
        self.port = free_port()
        self.share = 0.0
        self.fates: tuple[str, ...] = FAULTS
        self.met: Counter[str] = Counter()
        self._rng = random.Random(seed)  # noqa: S311 - not a secret
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def address(self) -> str:
        """Where it begins."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def open(self) -> Iterator["FaultyWay"]:
        """Let connections in."""
        self._thread.start()
        assert self._ready.wait(30)
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self) -> None:
        serving = asyncio.start_server(self._connected, "127.0.0.1", self.port)
        server = self._loop.run_until_complete(serving)
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.1))
        self._loop.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fate = self._rng.choice(self.fates) if self._rng.random() < self.share else "well"
        self.met[fate] += 1
        with contextlib.suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            try:
                await self._meet(fate, reader, writer)
            finally:
                writer.close()

    async def _meet(
        self, fate: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if fate == "refuse":
            return
        if fate == "hang":
            await asyncio.sleep(60)
            return
        if fate == "500":
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER_500)
            await writer.drain()
            return
        up, down = await asyncio.open_connection(self.target.hostname, self.target.port)
        there = self._rng.randrange(2_000_000) if fate == "cut request" else 1 << 40
        back = self._rng.randrange(2_000_000) if fate == "cut answer" else 1 << 40
        wrote = asyncio.Event()
        ways = {
            asyncio.ensure_future(_pump(reader, down, there, sent=wrote)),
            asyncio.ensure_future(
                _pump(up, writer, back, unless=wrote if fate == "deaf" else None)
            ),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            down.close()


async def _pump(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    most: int,
    *,
    sent: asyncio.Event | None = None,
    unless: asyncio.Event | None = None,
) -> None:
    """Pass bytes on; tell that a request writes, or lose the answer to one that did."""
    with contextlib.suppress(OSError):
        while most > 0 and (data := await reader.read(min(most, 65_536))):
            if unless and unless.is_set():
                return
            if sent and data.startswith((b"PUT", b"POST", b"DELETE")):
                sent.set()
            most -= len(data)
            writer.write(data)
            await writer.drain()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3 for these tests."""
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(s3: str) -> str:
    """A bucket of its own."""
    return new_bucket(s3)


@pytest.fixture
def direct(s3: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> ObjectBlobs:
    """The store, without faults."""
    use_s3(monkeypatch, s3)
    return opened_s3(bucket)


@pytest.fixture
def way(s3: str) -> Iterator[FaultyWay]:
    """The way on which it is reached with faults."""
    with FaultyWay(s3, seed=5).open() as faulty:
        yield faulty


@pytest.fixture
def faulty(
    direct: ObjectBlobs, way: FaultyWay, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> ObjectBlobs:
    """The same store, reached that way; `direct` comes first, for both read the environment."""
    assert direct.address
    use_s3(monkeypatch, way.address)
    return opened_s3(bucket, patience_seconds=0.4)


def pieces(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1_000_000] for at in range(0, len(data), 1_000_000))


def pushed(blobs: ObjectBlobs, data: bytes, number: int, scratch: Path) -> str:
    digest = digest_of(data)
    if number % 3 == 0:
        return blobs.write(pieces(data)).digest
    if number % 3 == 1:
        return blobs.write(pieces(data), digest=digest, size=len(data)).digest
    scratch.write_bytes(data)
    return blobs.take(scratch).digest


def test_faults_on_the_way_leave_whole_blobs_or_none(
    direct: ObjectBlobs, faulty: ObjectBlobs, way: FaultyWay, tmp_path: Path
) -> None:
    rng, done, failed = random.Random(9), 0, 0  # noqa: S311 - not a secret
    for number in range(PUSHES):
        way.share = rng.choice([0.1, 0.4, 0.9])
        data = rng.randbytes(rng.choice(SIZES))
        digest = digest_of(data)
        try:
            assert pushed(faulty, data, number, tmp_path / "model.bin") == digest
        except Unavailable:
            failed += 1
            if direct.size(digest) is None:
                continue
        done += 1
        # Acknowledged, or not and there all the same: then all of it is there.
        assert b"".join(direct.read(digest)) == data
        with contextlib.suppress(Unavailable):
            assert b"".join(faulty.read(digest)) == data

    assert done > 5
    assert failed > 0
    assert set(FAULTS) <= way.met.keys()
    for held in direct.each():
        assert sum(map(len, direct.read(held.digest))) == held.size


def test_when_nothing_gets_through_it_says_so_soon(
    faulty: ObjectBlobs, direct: ObjectBlobs, way: FaultyWay, tmp_path: Path
) -> None:
    kept = direct.write([b"x" * 1_000]).digest
    source = tmp_path / "model.bin"
    source.write_bytes(os.urandom(9 << 20))
    way.share, way.fates, start = 1.0, ("500", "hang", "refuse"), time.monotonic()

    calls: list[Callable[[], object]] = [
        lambda: faulty.write([b"majora"]),
        lambda: faulty.take(source),
        lambda: list(faulty.read(kept)),
        lambda: faulty.give(kept, tmp_path / "given.bin"),
        lambda: list(faulty.each()),
        lambda: faulty.remove(kept),
    ]
    for asked in calls:
        with pytest.raises(Unavailable, match="try again"):
            asked()

    assert time.monotonic() - start < 30
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["model.bin"]
    assert [held.digest for held in direct.each()] == [kept]


def test_what_was_stored_is_told_though_the_answer_was_lost(
    faulty: ObjectBlobs, direct: ObjectBlobs, way: FaultyWay
) -> None:
    way.share, way.fates, data = 1.0, ("deaf",), os.urandom(5_000)

    stored = faulty.write([data])

    assert stored.digest == digest_of(data)
    assert way.met["deaf"] > 1
    assert b"".join(direct.read(stored.digest)) == data


@pytest.mark.parametrize("name", ["no-such-bucket", "No_Bucket_At_All"])
def test_a_bucket_that_is_not_there_is_said(
    s3: str, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    use_s3(monkeypatch, s3)
    blobs = opened_s3(name, patience_seconds=5)

    with pytest.raises(Unavailable, match=name):
        blobs.write([b"majora"])
    with pytest.raises(Unavailable, match=name):
        list(blobs.each())


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (500, "answered 500"),
        (429, "answered 429"),
        (403, "refuses these credentials"),
        (401, "refuses these credentials"),
        (404, "is no bucket"),
        (301, "another region"),
    ],
)
def test_an_error_of_the_store_is_said_without_its_words(
    monkeypatch: pytest.MonkeyPatch, status: int, said: str
) -> None:
    with answering(status) as address:
        use_s3(monkeypatch, address)
        blobs = opened_s3("models", patience_seconds=0.2)
        calls: list[Callable[[], object]] = [
            lambda: list(blobs.each()),
            lambda: blobs.write([b"majora"]),
            lambda: blobs.write([os.urandom(9 << 20)]),
        ]
        for asked in calls:
            with pytest.raises(Unavailable, match=said) as raised:
                asked()
            assert "what was signed" not in str(raised.value)
            assert raised.value.__cause__ is None


@contextlib.contextmanager
def answering(status: int) -> Iterator[str]:
    """A server that answers everything alike."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b"<Error><StringToSign>what was signed</StringToSign></Error>"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - the library's

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        running = threading.Thread(target=server.serve_forever, args=(0.05,))
        running.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            running.join()


def test_a_server_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    use_s3(monkeypatch, f"http://127.0.0.1:{free_port()}")

    with pytest.raises(Unavailable, match="did not answer") as raised:
        opened_s3("models", patience_seconds=0.3).write([b"majora"])

    assert "a-key-for-tests" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "address",
    [
        "s3://",
        "s3://key:secret@models",
        "s3://models?token=secret",
        "ftp://models/x",
        "s4:x",
        "",
        "file:",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_secrets(address: str) -> None:
    with pytest.raises(Invalid) as raised:
        opened(address)

    assert "secret" not in str(raised.value)


def test_an_address_that_needs_more_settings_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)

    with pytest.raises(Invalid, match="AZURE_STORAGE_ACCOUNT_NAME"):
        opened("az://models/below")


def test_an_object_that_is_no_blob_is_ignored_and_a_damaged_one_is_written_anew(
    direct: ObjectBlobs, bucket: str
) -> None:
    digest = direct.write([b"majora"]).digest
    name = digest.removeprefix("sha256:")
    beside = from_url(f"s3://{bucket}/below", client_options={"allow_http": True})
    put(beside, "sha256/notes.txt", b"mine")
    put(beside, f"sha256/00/{name}x", b"mine")
    put(beside, f"sha256/{name[:2]}/{name}", b"damaged!")

    assert [held.digest for held in direct.each()] == [digest]
    with pytest.raises(Corrupt, match=digest):
        list(direct.read(digest))
    assert direct.write([b"majora"]).new
    assert b"".join(direct.read(digest)) == b"majora"


def test_a_folder_has_many_addresses(tmp_path: Path) -> None:
    for address in (str(tmp_path), f"file:{tmp_path}", f"file://{tmp_path}"):
        assert opened(address).address == str(tmp_path)


def test_without_obstore_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "herdbook.storage.blobs.objects", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)

    with pytest.raises(MissingExtra, match=r"pip install 'herdbook\[objects\]'") as raised:
        opened("s3://models/below")
    assert isinstance(raised.value, HerdbookError)
