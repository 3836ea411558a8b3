"""Models in buckets, over real HTTP."""

import dataclasses
from collections.abc import Iterator

import obstore
import pytest
from obstore.store import S3Store

from herdbook.errors import Corrupt, Invalid, NotFound, Unavailable
from herdbook.loader import create_model_artifact, find
from herdbook.settings import Settings
from tests.conformance.blobs.stores import new_bucket, s3_server, use_s3
from tests.loader.samples import classifier_files, written


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """An S3 for all tests here."""
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an empty bucket that the environment leads to."""
    use_s3(monkeypatch, server)
    return new_bucket(server)


def put(bucket: str, key: str, data: bytes) -> None:
    obstore.put(S3Store(bucket, client_options={"allow_http": True}), key, data)


def ref_to(bucket: str, path: str = "models/gbert") -> str:
    return f"s3://{bucket}/{path}"


def test_a_folder_of_a_bucket_is_fetched_whole(bucket: str, settings: Settings) -> None:
    files = {**classifier_files(), "onnx/model.onnx": b"x" * 9_000_000}
    for path, data in files.items():
        put(bucket, f"models/gbert/{path}", data)
    put(bucket, "models/gbert-large/config.json", b"another model")

    found = find(ref_to(bucket), settings=settings)

    assert {path: (found.folder / path).read_bytes() for path in found.files} == files
    assert found.verified


def test_what_did_not_change_is_not_fetched_again(bucket: str, settings: Settings) -> None:
    put(bucket, "models/gbert/config.json", b"{}")
    first = find(ref_to(bucket), settings=settings)

    assert find(ref_to(bucket), settings=settings) == first

    put(bucket, "models/gbert/config.json", b"[]")
    changed = find(ref_to(bucket), settings=settings)
    assert changed.revision != first.revision
    assert (changed.folder / "config.json").read_bytes() == b"[]"
    assert (first.folder / "config.json").read_bytes() == b"{}"


def test_without_a_network_what_was_fetched_last_is_given(
    bucket: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, "models/gbert/config.json", b"{}")
    first = find(ref_to(bucket), settings=settings)
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")

    offline = dataclasses.replace(settings, offline=True)

    assert find(ref_to(bucket), settings=offline) == first
    with pytest.raises(NotFound, match="HERDBOOK_OFFLINE=1 forbids"):
        find(ref_to(bucket, "models/other"), settings=offline)


def test_a_byte_changed_in_the_cache_is_noticed_whatever_the_bucket_says(
    bucket: str, settings: Settings
) -> None:
    put(bucket, "models/gbert/config.json", b"{}")
    path = find(ref_to(bucket), settings=settings).folder / "config.json"
    path.chmod(0o644)
    path.write_bytes(b"[]")

    with pytest.raises(Corrupt, match=r"config\.json"):
        find(ref_to(bucket), settings=settings)


def test_an_artifact_in_a_bucket_is_compared_with_its_own_metadata(
    bucket: str, settings: Settings
) -> None:
    written(settings.home / "m", classifier_files())
    made = create_model_artifact(
        f"local:{settings.home}/m", "v1", to=settings.home / "a", settings=settings
    )
    for path in made.iterdir():
        data = path.read_bytes() if path.name != "vocab.txt" else b"swapped\n"
        put(bucket, f"models/gbert/{path.name}", data)

    with pytest.raises(Corrupt, match=r"vocab\.txt .* where artifact_metadata\.json says"):
        find(ref_to(bucket), settings=settings)


def test_nothing_there_is_nothing(bucket: str, settings: Settings) -> None:
    with pytest.raises(NotFound, match="no object has a key"):
        find(ref_to(bucket), settings=settings)


def test_a_key_that_leads_outside_is_refused(bucket: str, settings: Settings) -> None:
    put(bucket, "models/gbert/a:b", b"{}")

    with pytest.raises(Invalid, match="cannot be the path"):
        find(ref_to(bucket), settings=settings)


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there_is_told(settings: Settings) -> None:
    with pytest.raises((NotFound, Unavailable), match="s3://no-such-bucket-here"):
        find("s3://no-such-bucket-here/models", settings=settings)
