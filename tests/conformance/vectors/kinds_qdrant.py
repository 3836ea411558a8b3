"""Qdrant: the client's local mode, and the embedded engine."""

from pathlib import Path

import pytest

from tests.conformance.vectors.kinds import Kind


def _local(request: pytest.FixtureRequest) -> str:
    folder: Path = request.getfixturevalue("tmp_path")
    return f"qdrant:{folder / 'qdrant'}"


def _edge(request: pytest.FixtureRequest) -> str:
    folder: Path = request.getfixturevalue("tmp_path")
    return f"qdrant-edge:{folder / 'edge'}"


KINDS = [
    Kind(name="qdrant", address=_local, silent="qdrant://127.0.0.1:9"),
    Kind(name="qdrant-edge", address=_edge),
]
