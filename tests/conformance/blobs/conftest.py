"""Every test here runs on a store of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from herdbook.core.blobs import Blobs
from herdbook.storage.blobs import opened
from tests.conformance.blobs.stores import new_bucket, opened_folder, opened_s3, s3_server, use_s3


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """One S3 for each worker."""
    with s3_server() as address:
        yield address


@pytest.fixture(params=["folder", "memory", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Blobs]:
    """An empty store."""
    if request.param == "folder":
        store = opened_folder(tmp_path)
    elif request.param == "memory":
        store = opened("memory:")
    else:
        endpoint = request.getfixturevalue("s3")
        use_s3(request.getfixturevalue("monkeypatch"), endpoint)
        store = opened_s3(new_bucket(endpoint))
    yield store
    store.close()
