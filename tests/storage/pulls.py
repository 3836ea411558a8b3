"""Versions to pull, and a place to pull them from that counts what it was asked for."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from herdbook.core.artifacts import Artifact, Manifest, digest_of
from herdbook.core.blobs import How

WEIGHTS = "model.safetensors"
MAJORA = {
    WEIGHTS: b"weights " * 200_000,
    "config.json": b'{"model_type": "qwen2"}',
    "labels.json": b'["tool", "chat"]',
    "tokenizer/vocab.txt": b"the\nherd\n",
}


def manifest_of(files: Mapping[str, bytes]) -> Manifest:
    """Give the manifest of files."""
    return Manifest(
        tuple(
            Artifact(path=path, size=len(data), digest=digest_of(data), role="weights")
            for path, data in files.items()
        )
    )


def relabelled(labels: bytes = b'["tool", "chat", "plan"]') -> dict[str, bytes]:
    """Give a second version of majora, which differs in its labels only."""
    return {**MAJORA, "labels.json": labels}


class Source:
    """Where files come from, by digest.

    Args:
        files: what it has.
        how: what it says of how it gave them.
    """

    def __init__(self, *files: Mapping[str, bytes], how: How = How.COPIED) -> None:
        self._data = {digest_of(data): data for each in files for data in each.values()}
        self._how = how
        self._guard = threading.Lock()
        self.asked: list[str] = []

    def __call__(self, file: Artifact, path: Path) -> How:
        """Put a file in its place."""
        assert not os.path.lexists(path)
        with self._guard:
            self.asked.append(file.path)
        path.write_bytes(self._data[file.digest])
        path.chmod(0o444)
        return self._how


def nothing(file: Artifact, path: Path) -> How:
    """Refuse: what is in the cache needs no network."""
    raise AssertionError(f"{file.path} was fetched to {path}")


def contents(folder: Path) -> dict[str, bytes]:
    """Read every file of a folder, its paths relative to it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if not path.is_dir()
    }


def names(folder: Path) -> list[str]:
    """Give what is in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())
