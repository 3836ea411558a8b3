"""LanceDB in a folder."""

from pathlib import Path

import pytest

from tests.conformance.vectors.kinds import Kind


def _address(request: pytest.FixtureRequest) -> str:
    folder: Path = request.getfixturevalue("tmp_path")
    return f"lancedb:{folder / 'lance'}"


KINDS = [Kind(name="lancedb", address=_address)]
