"""A small hub: as much of the protocol as the client of Hugging Face asks to fetch a repository."""

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import unquote, urlsplit

LARGE: Final = (".safetensors", ".bin", ".onnx", ".h5", ".msgpack")


@dataclass
class Repository:
    """What is at one commit, and how the hub behaves about it.

    Args:
        files: by path.
        refs: branches and tags to commits; `main` to the newest.
        commits: every commit's files.
        lies: what is sent in place of a file.
        refusal: the answer to every request, a status and the hub's word for it.
        pause_seconds: how long it waits in the middle of a file.
    """

    files: dict[str, bytes]
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    lies: dict[str, bytes] = field(default_factory=dict)
    refusal: tuple[int, str] | None = None
    pause_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.commit(self.files)

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit, to which `main` moves."""
        name = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()  # noqa: S324
        self.commits[name] = dict(files)
        self.refs["main"] = name
        return name


@dataclass
class Hub:
    """A hub that listens.

    Args:
        address: where.
        repositories: by name.
        asked: how often what was asked for.
    """

    address: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: "Counter[str]" = field(default_factory=Counter)

    def downloads(self, path: str) -> int:
        """How often a file was sent."""
        return sum(n for what, n in self.asked.items() if what.startswith("GET") and path in what)


@contextmanager
def served_hub() -> Iterator[Hub]:
    """Serve a hub from a thread."""
    server = _Server(("127.0.0.1", 0), _Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    server.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients that are killed are meant to be."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    @property
    def _hub(self) -> Hub:
        found: Hub = self.server.hub  # type: ignore[attr-defined]
        return found

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        self._hub.asked[f"{self.command} {path}"] += 1
        is_api = path.startswith("api/models/")
        names = [
            n
            for n in self._hub.repositories
            if f"{path}/".removeprefix("api/models/").startswith(f"{n}/")
        ]
        if not names:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        repository = self._hub.repositories[names[0]]
        if repository.refusal:
            status, word = repository.refusal
            self._send(status, b"{}", {"X-Error-Code": word})
            return
        rest = path.removeprefix("api/models/").removeprefix(names[0]).strip("/")
        if is_api:
            self._api(repository, names[0], rest)
        else:
            self._file(repository, rest)

    def _api(self, repository: Repository, name: str, rest: str) -> None:
        what, _, tail = rest.partition("/")
        commit = _commit(repository, tail or "main")
        if not commit:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif what == "tree":
            listed = [_entry(path, data) for path, data in repository.commits[commit].items()]
            self._send(200, json.dumps([*_folders(repository.commits[commit]), *listed]).encode())
        else:
            self._send(200, json.dumps({"id": name, "sha": commit, "siblings": []}).encode())

    def _file(self, repository: Repository, rest: str) -> None:
        revision, _, path = rest.removeprefix("resolve/").partition("/")
        commit = _commit(repository, revision)
        data = repository.commits.get(commit, {}).get(path)
        if data is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        entry = _entry(path, data)
        tag = entry.get("lfs", entry)["oid"]
        said = repository.lies.get(path, data)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{tag}"'}
        self._send(200, said, headers, pause_seconds=repository.pause_seconds)

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        pause_seconds: float = 0.0,
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        half = len(body) // 2
        self.wfile.write(body[:half])
        self.wfile.flush()
        time.sleep(pause_seconds)
        self.wfile.write(body[half:])


def _commit(repository: Repository, revision: str) -> str:
    return revision if revision in repository.commits else repository.refs.get(revision, "")


def _entry(path: str, data: bytes) -> dict[str, Any]:
    git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # noqa: S324
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": git}
    if path.endswith(LARGE):
        digest = hashlib.sha256(data).hexdigest()
        entry["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 130}
    return entry


def _folders(files: dict[str, bytes]) -> list[dict[str, Any]]:
    found = sorted({path.rpartition("/")[0] for path in files if "/" in path})
    return [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in found]
