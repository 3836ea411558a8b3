"""A server that lies: one clear error each, nothing written elsewhere, nothing left behind."""

import gzip
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import herdbook
from herdbook.core.artifacts import Artifact, Manifest, digest_of
from herdbook.errors import Corrupt, HerdbookError, Invalid, NotFound, Unavailable, Unreachable
from herdbook.settings import Settings

Handler = BaseHTTPRequestHandler
Lie = Callable[[Handler], None]

WEIGHTS, LABELS = b"the weights of gnn" * 5_000, b'{"0": "fraud"}'
FILES = "/models/gnn/versions/v1/files"
PATIENCE_SECONDS = 0.4


def artifact(path: str, data: bytes) -> Artifact:
    return Artifact(path=path, size=len(data), digest=digest_of(data), role="weights")


TRUE = Manifest((artifact("model.safetensors", WEIGHTS), artifact("onnx/labels.json", LABELS)))
BLOB = f"/blobs/{digest_of(WEIGHTS)}"


def plain(file: Artifact, **more: Any) -> dict[str, Any]:
    return {"path": file.path, "size": file.size, "digest": file.digest, "role": file.role} | more


def told(**more: Any) -> dict[str, Any]:
    """What an honest server tells of the files of gnn:v1."""
    files = [plain(file) for file in TRUE.files]
    said = {"ref": "gnn:v1", "manifest": TRUE.digest, "size": TRUE.size, "files": files}
    return said | more


@dataclass
class Liar:
    """An HTTP server that answers as it is told to, and honestly what it is told nothing about."""

    lies: dict[str, Lie] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def answer(self, handler: Handler) -> None:
        """Answer a request."""
        self.asked.append(handler.path)
        body = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        lie = self.lies.get(handler.path) or self.lies.get("*")
        if lie is not None:
            lie(handler)
        elif handler.path == FILES:
            give_json(told())(handler)
        elif handler.path == "/artifacts/missing":
            give_json({"digests": json.loads(body)["digests"]})(handler)
        elif handler.path in {f"/blobs/{digest_of(data)}" for data in (WEIGHTS, LABELS)}:
            give(WEIGHTS if handler.path == BLOB else LABELS)(handler)
        else:
            give(b"", status=404)(handler)


@contextmanager
def lying() -> Iterator[Liar]:
    """Run it."""
    liar = Liar()

    class Asked(BaseHTTPRequestHandler):
        """One connection."""

        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            """Answer; a client that left is no matter."""
            try:
                super().handle_one_request()
            except OSError:
                self.close_connection = True

        def do_GET(self) -> None:
            """Answer."""
            liar.answer(self)

        do_PUT = do_POST = do_GET  # noqa: N815 - the names it looks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Asked)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    liar.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield liar
    finally:
        server.shutdown()
        thread.join()
        server.socket.close()


@pytest.fixture
def liar() -> Iterator[Liar]:
    """A server that lies."""
    with lying() as found:
        yield found


def give(body: bytes, *, status: int = 200, length: int = -1, **headers: str) -> Lie:
    """Answer with a body, and say that it is so long."""

    def answer(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body) if length < 0 else length))
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = length >= 0

    return answer


def give_json(value: object, **more: Any) -> Lie:
    return give(json.dumps(value).encode(), Content_Type="application/json", **more)


def endless(piece: bytes, *, pause: float = 0.0, **headers: str) -> Lie:
    """Answer with a body that has no end."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while True:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            time.sleep(pause)

    return answer


def cut(body: bytes, length: int) -> Lie:
    """Promise more than is sent."""
    return give(body, length=length)


def opened(liar: Liar, home: Path) -> herdbook.Herdbook:
    settings = Settings(
        home=home, url=liar.address, cache=home / "cache", timeout_seconds=PATIENCE_SECONDS
    )
    return herdbook.connect(settings=settings)


def below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def left(home: Path) -> set[str]:
    """Files in a cache that could be taken for something."""
    return {
        name
        for name in below(home)
        if (home / name).is_file()
        and name.startswith(("cache/snapshots", "cache/marks", "cache/pulls", "cache/files"))
    }


def pull(liar: Liar, folder: Path, **more: Any) -> Path:
    with opened(liar, folder / "home") as book:
        return book.artifacts.pull("gnn:v1", **more)


def refused(liar: Liar, folder: Path) -> HerdbookError:
    """Pull into a folder and into the cache; give the error, when nothing is left of either."""
    (folder / "in").mkdir()
    with pytest.raises(HerdbookError) as first:
        pull(liar, folder, to=folder / "in" / "out")
    with pytest.raises(HerdbookError) as second:
        pull(liar, folder)
    assert below(folder / "in") == set()
    assert {name.split("/")[0] for name in below(folder)} <= {"in", "home"}
    whole = {f"cache/files/{digest_of(data)[7:]}" for data in (WEIGHTS, LABELS)}
    assert left(folder / "home") <= whole, "something that is not what it is called is left"
    assert type(first.value) is type(second.value)
    assert 20 < len(first.value.message) < 600
    return first.value


def test_an_honest_answer_is_taken(liar: Liar, tmp_path: Path) -> None:
    found = pull(liar, tmp_path, to=tmp_path / "out")

    assert (found / "model.safetensors").read_bytes() == WEIGHTS
    assert (pull(liar, tmp_path) / "onnx/labels.json").read_bytes() == LABELS


ELSEWHERE = [
    "../out.bin",
    "a/../../out.bin",
    "/tmp/out.bin",  # noqa: S108 - it must not be written
    "..\\out.bin",
    "C:\\out.bin",
    "\\\\srv\\out",
    "./a",
    "a//b",
    "",
    ".",
    "..",
    "a\x00b",
    "a\nb",
    "con",
    "a.",
    "x" * 300,
    "~/out.bin/",
]


@pytest.mark.parametrize("path", ELSEWHERE, ids=ascii)
def test_a_name_that_leads_elsewhere_is_refused(liar: Liar, tmp_path: Path, path: str) -> None:
    file = plain(TRUE.files[0], path=path)
    liar.lies[FILES] = give_json(told(files=[file]))

    error = refused(liar, tmp_path)

    assert type(error) is Corrupt
    assert "cannot be" in error.message
    assert not any(asked.startswith("/blobs") for asked in liar.asked)


@pytest.mark.parametrize(
    "lie",
    [
        {"manifest": digest_of(b"another")},
        {"files": [plain(TRUE.files[0])]},
        {"files": [plain(TRUE.files[0], size=5), plain(TRUE.files[1])]},
        {"files": [plain(TRUE.files[0], digest=digest_of(b"x")), plain(TRUE.files[1])]},
        {"files": [plain(TRUE.files[0], digest="../../x")]},
        {"files": [plain(TRUE.files[0], size=-1)]},
        {"files": [plain(TRUE.files[0], size=10**30)]},
        {"files": [plain(TRUE.files[0]), plain(TRUE.files[0], path="MODEL.safetensors")]},
        {"files": [plain(TRUE.files[0]), plain(TRUE.files[0], path="model.safetensors/x")]},
        {"files": []},
        {"files": None},
        {"files": "model.safetensors"},
        {"files": [plain(TRUE.files[0], path=f"{n}.bin") for n in range(10_001)]},
        {"ref": "gnn:v2"},
        {"ref": "majora:v1"},
        {"ref": "../../x"},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_files_that_are_not_those_of_the_version_are_refused(
    liar: Liar, tmp_path: Path, lie: dict[str, Any]
) -> None:
    liar.lies[FILES] = give_json(told(**lie))

    assert isinstance(refused(liar, tmp_path), Corrupt | Invalid)
    assert not any(asked.startswith("/blobs") for asked in liar.asked)


OTHER = {
    "other bytes": give(WEIGHTS[::-1]),
    "more bytes": give(WEIGHTS + b"!"),
    "more without a length": endless(WEIGHTS),
    "another file": give(LABELS + WEIGHTS[len(LABELS) :]),
}


@pytest.mark.parametrize("lie", OTHER)
def test_other_bytes_are_refused(liar: Liar, tmp_path: Path, lie: str) -> None:
    liar.lies[BLOB] = OTHER[lie]

    error = refused(liar, tmp_path)

    assert type(error) is Corrupt
    assert "model.safetensors" in error.message


BROKEN = {
    "fewer bytes": give(WEIGHTS[:-1]),
    "none": give(b""),
    "cut off": cut(WEIGHTS[:500], len(WEIGHTS)),
    "nothing at all": lambda handler: setattr(handler, "close_connection", True),
    "no HTTP": lambda handler: handler.wfile.write(b"220 ready\r\n"),
    "an error page": give(b"<html>busy</html>", status=502),
    "elsewhere": give(b"", status=302, Location="http://169.254.169.254/latest/meta-data"),
    "here again": give(b"", status=307, Location=BLOB),
    "gzip": give(gzip.compress(WEIGHTS), Content_Encoding="gzip"),
    "br": give(b"\x0b\x02\x80", Content_Encoding="br"),
    "a long error": give(b"x" * 5_000_000, status=500),
    "a problem that is none": give_json({"code": "not_found", "detail": 7}, status=404),
    "a problem of many words": give_json(
        {"code": "corrupt", "detail": "x" * 10**6, "details": [], "field": None}, status=500
    ),
}


@pytest.mark.parametrize("lie", BROKEN)
@pytest.mark.parametrize("route", [FILES, BLOB])
def test_an_answer_that_is_none_is_one_clear_error(
    liar: Liar, tmp_path: Path, lie: str, route: str
) -> None:
    liar.lies[route] = BROKEN[lie]
    (tmp_path / "in").mkdir()

    with pytest.raises((Unreachable, Unavailable, Corrupt, NotFound)) as raised:
        pull(liar, tmp_path, to=tmp_path / "in" / "out")

    assert len(raised.value.message) < 11_000
    assert below(tmp_path / "in") == set()
    assert len(liar.asked) < 20
    assert set(liar.asked) <= {FILES, BLOB, f"/blobs/{digest_of(LABELS)}"}


@pytest.mark.parametrize(
    "text", [b"", b"null", b"[]", b"[" * 100_000, b'"x"', b"{}", b"\xff", b'{"ref":"gnn:v1"}', b"1"]
)
def test_json_that_is_something_else_is_one_clear_error(
    liar: Liar, tmp_path: Path, text: bytes
) -> None:
    liar.lies[FILES] = give(text)

    assert isinstance(refused(liar, tmp_path), Unreachable | Corrupt)


DRIPS = {
    "files": (FILES, endless(b" ", pause=0.02)),
    "a blob": (BLOB, endless(b"t", pause=0.02)),
    "an error": (BLOB, give(b"", status=500, length=50)),
    "silence": (FILES, lambda _: time.sleep(4 * PATIENCE_SECONDS)),
}


@pytest.mark.parametrize("lie", DRIPS)
def test_who_drips_is_not_waited_for_for_ever(liar: Liar, tmp_path: Path, lie: str) -> None:
    route, liar.lies[route] = DRIPS[lie][0], DRIPS[lie][1]
    began = time.monotonic()

    with pytest.raises((Unavailable, Unreachable, Corrupt)):
        pull(liar, tmp_path, to=tmp_path / "out")

    assert time.monotonic() - began < 30 * PATIENCE_SECONDS
    assert not (tmp_path / "out").exists()


def test_a_connection_that_breaks_is_taken_up_where_it_broke(liar: Liar, tmp_path: Path) -> None:
    def half(handler: Handler) -> None:
        asked = handler.headers.get("Range", "bytes=0-")
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        cut(WEIGHTS[start : start + 20_000], len(WEIGHTS) - start) if not start else None
        answer = give(WEIGHTS[start:], status=206) if start else cut(WEIGHTS[:20_000], 90_000)
        answer(handler)

    liar.lies[BLOB] = half

    found = pull(liar, tmp_path, to=tmp_path / "out")

    assert (found / "model.safetensors").read_bytes() == WEIGHTS


def test_who_cannot_go_on_where_it_broke_begins_anew(liar: Liar, tmp_path: Path) -> None:
    answers = [cut(WEIGHTS[:20_000], 90_000), give(WEIGHTS)]
    liar.lies[BLOB] = lambda handler: answers.pop(0)(handler)

    found = pull(liar, tmp_path, to=tmp_path / "out")

    assert (found / "model.safetensors").read_bytes() == WEIGHTS


def test_a_part_that_is_another_is_refused(liar: Liar, tmp_path: Path) -> None:
    answers = [cut(WEIGHTS[:20_000], 90_000), give(b"x" * (len(WEIGHTS) - 20_000), status=206)]
    liar.lies[BLOB] = lambda handler: answers.pop(0)(handler)

    with pytest.raises(Corrupt, match=r"model\.safetensors"):
        pull(liar, tmp_path, to=tmp_path / "out")

    assert {path.name for path in tmp_path.iterdir()} <= {"home"}


# --- who is asked for bytes nobody wants ---


@pytest.mark.parametrize(
    "said",
    [
        {"digests": [digest_of(b"of another")]},
        {"digests": ["../../etc/passwd"]},
        {"digests": [1]},
        {"digests": None},
        {},
    ],
)
def test_a_server_that_asks_for_other_bytes_gets_none(
    liar: Liar, tmp_path: Path, said: dict[str, Any]
) -> None:
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    liar.lies["/artifacts/missing"] = give_json(said)

    with opened(liar, tmp_path / "home") as book, pytest.raises(HerdbookError):
        book.artifacts.push("gnn", path=tmp_path / "model.safetensors")

    assert not any(path.startswith("/blobs/sha256") for path in liar.asked)


def test_a_server_that_registers_something_else_is_found_out(liar: Liar, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    stored = {"digest": digest_of(WEIGHTS), "size": len(WEIGHTS), "new": True}
    liar.lies[BLOB] = give_json(stored, status=201)
    liar.lies["/models/register"] = give_json({"model": "gnn", "number": "v1"}, status=201)

    with opened(liar, tmp_path / "home") as book, pytest.raises(Corrupt):
        book.artifacts.push("gnn", path=tmp_path / "model.safetensors")


# --- memory ---

BOMB = gzip.compress(b"[" + b" " * (1 << 28))
ZEROS = gzip.compress(bytes(1 << 28))
HEAVY = {
    "a million files": (
        FILES,
        endless(json.dumps(plain(TRUE.files[0])).encode() * 400),
    ),
    "a bomb of JSON": (FILES, give(BOMB, Content_Encoding="gzip")),
    "a bomb for a blob": (BLOB, give(ZEROS, Content_Encoding="gzip")),
    "a blob without end": (BLOB, endless(WEIGHTS * 10)),
    "an error without end": (BLOB, endless(b"x" * (1 << 20))),
    "a long error": (FILES, give(b" " * (100 << 20), status=500)),
}

CHILD = """
import pathlib, resource, sys
import herdbook
from herdbook.settings import Settings
address, home = sys.argv[1], pathlib.Path(sys.argv[2])
settings = Settings(home=home, url=address, cache=home / "cache", timeout_seconds=5.0)
with herdbook.connect(settings=settings) as book:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        book.artifacts.pull("gnn:v1", to=home / "out")
    except herdbook.HerdbookError as error:
        print(type(error).__name__, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("lie", HEAVY)
def test_whatever_is_sent_the_client_takes_little_memory(
    liar: Liar, tmp_path: Path, lie: str
) -> None:
    route, answer = HEAVY[lie]
    liar.lies[route] = answer

    done = subprocess.run(
        [sys.executable, "-c", CHILD, liar.address, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30)),
    )

    name, kibibytes = done.stdout.split()
    assert name in {"Unreachable", "Corrupt", "Unavailable"}
    assert int(kibibytes) < 220 << 10
    assert {path.name for path in tmp_path.iterdir()} <= {"cache"}
    assert left(tmp_path) == set()
