"""`herdbook artifacts cache`: what was pulled, whether it is whole, and making room."""

import json
import os
from pathlib import Path

import pytest

from herdbook.cli.main import main
from herdbook.storage.cache import Cache
from tests.storage.pulls import MAJORA, WEIGHTS, Source, manifest_of

V1 = manifest_of(MAJORA)
WORDS = ("artifacts", "cache")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """The cache of the settings, with majora:v1 in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERDBOOK_HOME", str(tmp_path / "home"))
    cache = Cache(tmp_path / "home" / "cache")
    cache.snapshot(V1, Source(MAJORA))
    cache.remember("r", "majora@champion", V1, "majora:v1")
    cache.release(V1.digest)
    return cache


def test_the_list_tells_what_was_pulled(cache: Cache, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "list", "--json"]) == 0

    (item,) = json.loads(capsys.readouterr().out)["items"]
    assert item["digest"] == V1.digest
    assert item["refs"] == ["majora@champion"]
    assert item["path"] == str(cache.present(V1.digest))
    assert (item["files"], item["size_bytes"], item["in_use"]) == (len(MAJORA), V1.size, False)


def test_damage_is_told_with_status_1_and_removed_when_asked(
    cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = cache.present(V1.digest)
    assert folder
    assert main([*WORDS, "verify"]) == 0
    (folder / WEIGHTS).chmod(0o600)
    os.truncate(folder / WEIGHTS, 10)

    assert main([*WORDS, "verify"]) == 1
    told = capsys.readouterr().out
    assert main([*WORDS, "verify", "--remove"]) == 1
    assert main([*WORDS, "verify"]) == 0

    assert "majora@champion\n  model.safetensors: has other bytes" in told
    assert cache.listing() == []


def test_pruning_wants_to_know_how_much_may_stay(
    cache: Cache, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*WORDS, "prune"]) == 2
    assert "--to" in capsys.readouterr().err
    assert main([*WORDS, "prune", "--to", "1GB"]) == 0
    assert main([*WORDS, "prune", "--all", "--dry-run"]) == 0
    assert len(cache.listing()) == 1

    assert main([*WORDS, "prune", "--all"]) == 0

    assert "Removed 1 version, 1.6 MB; 0 B are left." in capsys.readouterr().out
    assert cache.listing() == []
