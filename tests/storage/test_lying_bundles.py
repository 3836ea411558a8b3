"""Bundles in which every byte is under its own digest, and still not what was written."""

import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from herdbook.core.artifacts import digest_of
from herdbook.core.wire import canonical
from herdbook.errors import Corrupt, Invalid
from herdbook.storage.bundles import read_bundle
from tests.storage.packing import (
    STORE,
    VERSIONS,
    a_bundle,
    blob,
    every_byte,
    repacked,
    unpacked,
)

Parts = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_bundle(tmp_path_factory.mktemp("bundles") / "one.tar").path


def _rebuilt(parts: Parts, old: bytes, new: bytes) -> None:
    """Put a document in the place of another and let every name of it follow, up to the index."""
    at = next(n for n, (_, data) in enumerate(parts) if data == old)
    info, _ = blob(new)
    if parts[at][0].name == "index.json":
        info.name = "index.json"
    parts[at] = (info, new)
    if info.name == "index.json":
        return
    for _, data in list(parts):
        if digest_of(old).encode() in data:
            _rebuilt(parts, data, _renamed(data, old, new))


def _renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    was, becomes = digest_of(old).encode(), digest_of(new).encode()
    sized = rb'("digest":"%s","mediaType":"[^"]*","size":)%d' % (was, len(old))
    return re.sub(sized, rb"\g<1>%d" % len(new), data).replace(was, becomes)


def _listing(change: Callable[[Any], Any]) -> Callable[[Parts], None]:
    def changed(parts: Parts) -> None:
        index = json.loads(parts[1][1])
        new = change(index)
        _rebuilt(parts, parts[1][1], canonical(index if new is None else new).encode())

    return changed


def _manifest(change: Callable[[Any], None]) -> Callable[[Parts], None]:
    """A change to the first version's manifest."""

    def changed(parts: Parts) -> None:
        old = VERSIONS[0].manifest.text.encode()
        manifest = json.loads(old)
        change(manifest)
        _rebuilt(parts, old, canonical(manifest).encode())

    return changed


def _outside(manifest: Any) -> None:
    manifest["layers"][0]["annotations"]["org.cncf.model.filepath"] = "../../etc/cron.d/x"


def _lying_size(manifest: Any) -> None:
    manifest["layers"][-1]["size"] += 1


def _lying_size_of_a_document(manifest: Any) -> None:
    layer = next(one for one in manifest["layers"] if one["digest"] == digest_of(b"{}"))
    layer["size"] = 5


def _elsewhere(manifest: Any) -> None:
    manifest["layers"][0]["urls"] = ["https://majora.example/x"]


def _no_digest(index: Any) -> None:
    index["manifests"][0]["digest"] = "sha256:../../index.json"


def _no_layers(parts: Parts) -> None:
    old = json.loads(parts[1][1])["manifests"][1]["digest"]
    data = next(data for _, data in parts if digest_of(data) == old)
    _rebuilt(parts, data, canonical({**json.loads(data), "layers": []}).encode())


@pytest.mark.parametrize(
    "change",
    [
        _manifest(_outside),
        _manifest(_lying_size),
        _manifest(_lying_size_of_a_document),
        _manifest(_elsewhere),
        _manifest(lambda manifest: manifest["layers"].clear()),
        _manifest(lambda manifest: manifest["layers"].append(7)),
        _listing(_no_digest),
        _listing(lambda index: index["manifests"].pop()),
        _listing(lambda index: index["manifests"].clear()),
        _listing(lambda index: index["manifests"].reverse()),
        _listing(lambda index: index["manifests"].extend(index["manifests"][:2])),
        _listing(lambda index: index.update(annotations={"a": "b"})),
        _listing(lambda index: index["manifests"][0].update(urls=["https://majora.example"])),
        _listing(lambda index: index["manifests"][0].update(size=7)),
        _listing(lambda index: index["manifests"].append([])),
        _listing(lambda _: []),
        _listing(lambda _: 7),
        _listing(lambda _: {"manifests": {}}),
        _listing(lambda _: {"manifests": [{}] * 2}),
        _no_layers,
        lambda parts: _rebuilt(parts, parts[1][1], b"[" * 100_000),
        lambda parts: _rebuilt(parts, parts[1][1], b"\xff"),
        lambda parts: _rebuilt(parts, parts[1][1], b"{}" + b" " * 4 * 1024**2),
        lambda parts: _rebuilt(parts, parts[0][1], b'{"imageLayoutVersion":"2.0.0"}'),
        lambda parts: _rebuilt(parts, VERSIONS[0].version.encode(), b"no JSON"),
        lambda parts: _rebuilt(parts, VERSIONS[0].version.encode(), b"\xff"),
        lambda parts: _rebuilt(parts, VERSIONS[0].manifest.config.encode(), b"{ }"),
    ],
)
def test_documents_that_say_something_else_are_refused(
    path: Path, tmp_path: Path, change: Callable[[Parts], None]
) -> None:
    parts = unpacked(path)
    change(parts)

    with pytest.raises((Corrupt, Invalid)):
        read_bundle(repacked(tmp_path / "one.tar", parts))


def test_the_same_change_without_harm_is_taken(path: Path, tmp_path: Path) -> None:
    parts = unpacked(path)
    _rebuilt(parts, VERSIONS[0].version.encode(), b'{"name":"majora:v9"}')

    with read_bundle(repacked(tmp_path / "one.tar", parts)) as bundle:
        assert bundle.contents[0].version == '{"name":"majora:v9"}'
        assert every_byte(bundle) == STORE
