"""Signatures as a gate: what the door verifies, and that nobody talks their way through it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from herdbook.core.artifacts import Files
from herdbook.core.keys import Proof, key_digest
from herdbook.errors import HerdbookError, Invalid, Refused
from herdbook.front.book import Herdbook
from herdbook.signing import signed
from tests.front.samples import connected, opened
from tests.signers import Pair, a_certificate, a_pair, an_authority, folder_of


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """The key that is trusted."""
    return a_pair(tmp_path_factory.mktemp("keys"), "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A key that is not."""
    return a_pair(tmp_path_factory.mktemp("keys"), "theirs")


@pytest.fixture
def model(book: Herdbook, ours: Pair, tmp_path: Path) -> str:
    """A model that trusts our key, with v1 and v2."""
    name = f"majora-{uuid4().hex[:8]}"
    book.models.create(name, trusted_keys=ours.public.read_text())
    for number in ("v1", "v2"):
        folder = folder_of({"model.bin": f"{name} {number}".encode()}, tmp_path / number)
        book.artifacts.push(name, number, path=folder)
    return name


def sign(book: Herdbook, ref: str, pair: Pair) -> str:
    """Sign a version."""
    text = signed(book.artifacts.files(ref).whole(), key=pair.private)
    book.artifacts.sign(ref, text)
    return text


def refused(book: Herdbook, ref: str, why: str) -> None:
    """See that a version does not become champion."""
    with pytest.raises(Refused, match=why):
        book.deployments.promote(ref)


# --- what counts ---


def test_a_champion_is_signed_by_a_key_the_model_trusts(
    book: Herdbook, model: str, ours: Pair
) -> None:
    refused(book, f"{model}:v1", f"{model}:v1 cannot become the champion.* not signed")

    sign(book, f"{model}:v1", ours)

    book.deployments.promote(f"{model}:v1")
    (kept,) = book.artifacts.signatures(f"{model}:v1").signatures
    assert kept.key == key_digest(ours.public.read_text())


def test_another_key_does_not_count(book: Herdbook, model: str, theirs: Pair) -> None:
    sign(book, f"{model}:v1", theirs)

    refused(book, f"{model}:v1", "its one signature was not verified here")
    (kept,) = book.artifacts.signatures(f"{model}:v1").signatures
    assert kept.key == ""


def test_one_of_several_keys_is_enough_and_one_taken_away_no_longer(
    book: Herdbook, model: str, ours: Pair, theirs: Pair
) -> None:
    keys = [theirs.public.read_text(), ours.public.read_text()]
    book.models.update(model, trusted_keys=keys)
    sign(book, f"{model}:v1", ours)
    sign(book, f"{model}:v2", theirs)
    book.deployments.promote(f"{model}:v1")
    book.deployments.promote(f"{model}:v2")

    changed = book.models.update(model, trusted_keys=keys[:1])

    assert changed.trusted_keys == tuple(keys[:1])
    with pytest.raises(Refused, match=f"{model}:v1"):
        book.deployments.rollback(model)
    assert book.models.update(model, trusted_keys=[]).trusted_keys == ()
    book.deployments.rollback(model)


def test_the_signature_of_another_version_does_not_count(
    book: Herdbook, model: str, ours: Pair
) -> None:
    text = sign(book, f"{model}:v1", ours)

    book.artifacts.sign(f"{model}:v2", text)

    refused(book, f"{model}:v2", "its one signature was not verified here")


def test_a_certificate_for_the_key_does_not_stand_for_the_key(
    book: Herdbook, model: str, ours: Pair, tmp_path: Path
) -> None:
    certificate = a_certificate(ours, an_authority(tmp_path, "root"))
    files = book.artifacts.files(f"{model}:v1").whole()

    book.artifacts.sign(f"{model}:v1", signed(files, key=ours.private, certificate=certificate))

    refused(book, f"{model}:v1", "not verified here")


def test_a_key_that_is_no_point_of_its_curve_verifies_nothing_and_hinders_nobody(
    book: Herdbook, model: str, ours: Pair
) -> None:
    good = ours.public.read_text()
    bad = good.replace(good.splitlines()[2][:8], "AAAAAAAA")
    book.models.update(model, trusted_keys=[bad, good])

    sign(book, f"{model}:v1", ours)

    book.deployments.promote(f"{model}:v1")


def test_what_was_signed_before_the_key_was_trusted_counts_when_it_is_kept_again(
    book: Herdbook, model: str, theirs: Pair
) -> None:
    text = sign(book, f"{model}:v1", theirs)
    book.models.update(model, trusted_keys=[theirs.public.read_text()])
    refused(book, f"{model}:v1", "not verified here")

    book.artifacts.sign(f"{model}:v1", text)

    book.deployments.promote(f"{model}:v1")
    assert len(book.artifacts.signatures(f"{model}:v1").signatures) == 1


def test_a_push_that_is_signed_is_ready_to_be_deployed(
    book: Herdbook, model: str, ours: Pair, tmp_path: Path
) -> None:
    folder = folder_of({"model.bin": b"v3"}, tmp_path / "v3")

    book.artifacts.push(
        model, "v3", path=folder, sign=lambda manifest: signed(manifest, key=ours.private)
    )

    book.deployments.promote(f"{model}:v3")


# --- nobody talks their way through ---


def test_what_a_client_says_of_the_key_is_not_believed(
    server: str, ours: Pair, theirs: Pair, tmp_path: Path
) -> None:
    with connected(server) as book:
        name = f"liar-{uuid4().hex[:8]}"
        book.models.create(name, trusted_keys=[ours.public.read_text()])
        book.artifacts.push(name, "v1", path=folder_of({"a": b"a"}, tmp_path / "m"))
        files = book.artifacts.files(f"{name}:v1").whole()
        text = signed(files, key=theirs.private)
        route = f"{server}/models/{name}/versions/v1/signatures"
        said = {"manifest": files.digest, "key": key_digest(ours.public.read_text())}

        for lie in ({"proof": said}, said, {"key": said["key"]}, {"verified": True}):
            answer = httpx2.post(route, json={"signature": text} | lie)
            assert answer.status_code == 422
        proof = Proof(manifest=files.digest, key=said["key"])
        with pytest.raises(Invalid):
            book._door.call(Files, "artifacts.sign", ref=f"{name}:v1", signature=text, proof=proof)
        # The hint a signature carries of its key is only a hint.
        bundle: Any = json.loads(text)
        real = json.loads(signed(files, key=ours.private))
        bundle["verificationMaterial"] = real["verificationMaterial"]
        assert httpx2.post(route, json={"signature": json.dumps(bundle)}).status_code == 200

        refused(book, f"{name}:v1", "its one signature was not verified here")


def test_what_is_said_at_a_door_of_this_machine_is_not_believed_either(
    ours: Pair, tmp_path: Path
) -> None:
    with connected("") as book:
        book.models.create("majora", trusted_keys=[ours.public.read_text()])
        book.artifacts.push("majora", path=folder_of({"a": b"a"}, tmp_path / "m"))
        manifest = book.artifacts.files("majora:v1").manifest
        proof = Proof(manifest=manifest, key=key_digest(ours.public.read_text()))

        book._door.call(Files, "artifacts.sign", ref="majora:v1", signature="{}", proof=proof)

        refused(book, "majora:v1", "its one signature was not verified here")


def test_the_signatures_of_a_bundle_are_verified_where_they_arrive(
    book: Herdbook, ours: Pair, theirs: Pair, tmp_path: Path
) -> None:
    with opened(tmp_path / "other") as (_, other):
        name = f"carried-{uuid4().hex[:8]}"
        # Elsewhere another key is trusted: that is decided here.
        other.models.create(name, trusted_keys=[theirs.public.read_text()])
        for number, pair in (("v1", theirs), ("v2", ours)):
            folder = folder_of({"a": f"{name}{number}".encode()}, tmp_path / number)
            other.artifacts.push(name, number, path=folder)
            sign(other, f"{name}:{number}", pair)
        other.artifacts.export([f"{name}:v1", f"{name}:v2"], tmp_path / "both.tar")
    book.models.create(name, trusted_keys=[ours.public.read_text()])

    book.artifacts.load(tmp_path / "both.tar")

    refused(book, f"{name}:v1", "its one signature was not verified here")
    book.deployments.promote(f"{name}:v2")


# --- without the extra ---


def test_where_signatures_cannot_be_checked_none_is_kept_for_a_model_that_trusts_keys(
    ours: Pair, tmp_path: Path
) -> None:
    with connected("") as book:
        for name, keys in (("majora", [ours.public.read_text()]), ("gnn", [])):
            book.models.create(name, trusted_keys=keys)
            book.artifacts.push(name, path=folder_of({"a": name.encode()}, tmp_path / name))
    program = (
        "import sys; sys.modules['model_signing'] = None\n"
        "import herdbook\n"
        "with herdbook.connect() as book:\n"
        "    print(book.artifacts.sign('gnn:v1', '{}').signed_by)\n"
        "    book.artifacts.sign('majora:v1', '{}')"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.stdout.count(",") == 1
    assert "MissingExtra" in done.stderr
    assert "pip install 'herdbook[signing]'" in done.stderr
    with connected("") as book:
        assert book.artifacts.signatures("majora:v1").signatures == ()


def test_a_private_key_is_not_taken_for_a_public_one(book: Herdbook, ours: Pair) -> None:
    book.models.create(f"gnn-{uuid4().hex[:8]}")

    with pytest.raises(HerdbookError, match="private key") as found:
        book.models.create("oracle", trusted_keys=[ours.private.read_text()])

    assert ours.private.read_text().splitlines()[1] not in str(found.value)
