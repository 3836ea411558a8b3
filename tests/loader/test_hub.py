"""Repositories of the hub: fetched whole, compared with the tree, never something else."""

import dataclasses
import os

import pytest

from herdbook.errors import (
    Corrupt,
    Forbidden,
    HerdbookError,
    Invalid,
    NotFound,
    Unavailable,
    Unreachable,
)
from herdbook.loader import find
from herdbook.settings import Settings
from tests.loader.hub import Hub, Repository
from tests.loader.samples import classifier_files, weights

REPO = "deepset/gbert-base"
REF = f"hf:{REPO}"


@pytest.fixture
def repository(hub: Hub) -> Repository:
    """A classifier on the hub."""
    hub.repositories[REPO] = Repository(classifier_files())
    return hub.repositories[REPO]


def test_a_repository_is_fetched_whole_and_verified(
    repository: Repository, settings: Settings
) -> None:
    found = find(REF, settings=settings)

    assert found.revision == repository.refs["main"]
    assert found.verified
    assert {path: (found.folder / path).read_bytes() for path in found.files} == repository.files


def test_what_is_here_is_not_fetched_again(
    hub: Hub, repository: Repository, settings: Settings
) -> None:
    first = find(REF, settings=settings)

    again = find(REF, settings=settings)

    assert again == first
    assert hub.downloads("resolve") == len(repository.files)


def test_a_commit_that_is_here_needs_no_hub(
    hub: Hub, repository: Repository, settings: Settings
) -> None:
    commit = repository.refs["main"]
    find(f"{REF}@{commit}", settings=settings)
    before = hub.asked.total()

    find(f"{REF}@{commit}", settings=settings)

    assert hub.asked.total() == before


def test_a_branch_that_moved_gives_the_new_commit_and_keeps_the_old(
    repository: Repository, settings: Settings
) -> None:
    old = find(REF, settings=settings)
    moved = repository.commit({**repository.files, "model.safetensors": weights(seed=1)})

    new = find(REF, settings=settings)

    assert new.revision == moved
    assert new.folder != old.folder
    assert find(f"{REF}@{old.revision}", settings=settings).folder == old.folder


def test_a_tag_is_the_commit_it_names(repository: Repository, settings: Settings) -> None:
    tagged = repository.refs["main"]
    repository.refs["v1.0.0"] = tagged
    repository.commit({**repository.files, "model.safetensors": weights(seed=1)})

    assert find(f"{REF}@v1.0.0", settings=settings).revision == tagged


def test_pickled_weights_beside_safetensors_are_left_out_and_named(
    hub: Hub, settings: Settings
) -> None:
    more = {
        "pytorch_model.bin": b"pickled",
        "tf_model.h5": b"h5",
        "onnx/model.bin": b"alone in its folder",
        "[odd] *.json".replace(" *", ""): b"{}",
    }
    hub.repositories[REPO] = Repository({**classifier_files(), **more})

    found = find(REF, settings=settings)

    assert found.left_out == ("pytorch_model.bin", "tf_model.h5")
    assert "onnx/model.bin" in found.files
    assert "[odd].json" in found.files
    assert hub.downloads("pytorch_model.bin") == 0


def test_pickled_weights_alone_are_fetched(hub: Hub, settings: Settings) -> None:
    files = classifier_files()
    del files["model.safetensors"]
    hub.repositories[REPO] = Repository({**files, "pytorch_model.bin": b"pickled"})

    found = find(REF, settings=settings)

    assert "pytorch_model.bin" in found.files
    assert found.left_out == ()


@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
def test_bytes_that_are_not_those_of_the_tree_are_refused(
    path: str, repository: Repository, settings: Settings
) -> None:
    true = repository.files[path]
    repository.lies[path] = true[:-1] + bytes([true[-1] ^ 1])  # the client's own check passes

    with pytest.raises(Corrupt, match=f"{path} is not the file"):
        find(REF, settings=settings)

    repository.lies.clear()
    assert (find(REF, settings=settings).folder / path).read_bytes() == true


def test_the_client_of_the_hub_alone_does_not_notice(
    hub: Hub, repository: Repository, settings: Settings
) -> None:
    import huggingface_hub

    true = repository.files["model.safetensors"]
    repository.lies["model.safetensors"] = true[:-1] + bytes([true[-1] ^ 1])

    folder = huggingface_hub.snapshot_download(
        REPO, local_dir=settings.home / "naive", endpoint=hub.address
    )

    assert (settings.home / "naive" / "model.safetensors").read_bytes() != true
    assert folder


@pytest.mark.parametrize(
    ("refusal", "error", "said"),
    [
        ((401, "RepoNotFound"), NotFound, "no such repository"),
        ((404, "RepoNotFound"), NotFound, "HF_TOKEN"),
        ((403, "GatedRepo"), Forbidden, "consent"),
        ((404, "RevisionNotFound"), NotFound, "no revision main"),
        ((403, "Other"), Forbidden, "not for this token"),
        ((400, "Other"), Unavailable, "answered 400"),
    ],
)
def test_what_the_hub_refuses_is_told(
    refusal: tuple[int, str],
    error: type[HerdbookError],
    said: str,
    repository: Repository,
    settings: Settings,
) -> None:
    repository.refusal = refusal

    with pytest.raises(error, match=said):
        find(REF, settings=settings)


def test_a_hub_that_is_gone_is_an_error_though_the_model_is_here(
    repository: Repository, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(REF, settings=settings)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")

    with pytest.raises(Unreachable, match="does not answer"):
        find(REF, settings=settings)

    offline = dataclasses.replace(settings, offline=True)
    assert find(REF, settings=offline).revision == repository.refs["main"]


def test_a_path_that_leads_outside_is_refused(hub: Hub, settings: Settings) -> None:
    hub.repositories[REPO] = Repository({"../outside.json": b"{}"})

    with pytest.raises(Invalid, match=r"part '\.\.'"):
        find(REF, settings=settings)


def test_an_empty_repository_is_nothing(hub: Hub, settings: Settings) -> None:
    hub.repositories[REPO] = Repository({})

    with pytest.raises(NotFound, match="holds no file"):
        find(REF, settings=settings)


@pytest.mark.usefixtures("repository")
def test_a_changed_byte_in_the_cache_is_noticed(settings: Settings) -> None:
    found = find(REF, settings=settings)
    path = found.folder / "model.safetensors"
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    with pytest.raises(Corrupt, match=r"model\.safetensors .* fetch it again"):
        find(REF, settings=settings)


@pytest.mark.usefixtures("repository")
def test_a_file_that_was_added_to_the_cache_is_noticed(settings: Settings) -> None:
    found = find(REF, settings=settings)
    (found.folder / "pytorch_model.bin").write_bytes(b"planted")

    with pytest.raises(Corrupt, match=r"holds pytorch_model\.bin"):
        find(REF, settings=settings)


@pytest.mark.usefixtures("repository")
def test_a_file_that_went_from_the_cache_is_noticed(settings: Settings) -> None:
    found = find(REF, settings=settings)
    (found.folder / "vocab.txt").unlink()

    with pytest.raises(Corrupt, match=r"lacks vocab\.txt"):
        find(REF, settings=settings)


@pytest.mark.usefixtures("repository")
def test_a_cache_that_others_may_write_in_is_refused(settings: Settings) -> None:
    find(REF, settings=settings)
    (settings.cache / "outside").chmod(0o777)

    with pytest.raises(Invalid, match="others may write"):
        find(REF, settings=settings)


@pytest.mark.usefixtures("repository")
def test_what_is_fetched_is_for_this_user_alone(settings: Settings) -> None:
    before = os.umask(0)
    try:
        found = find(REF, settings=settings)
    finally:
        os.umask(before)

    assert (settings.cache / "outside").stat().st_mode & 0o777 == 0o700
    assert {(found.folder / p).stat().st_mode & 0o777 for p in found.files} == {0o444}
