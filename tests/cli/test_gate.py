"""The story of a model whose champions have to be signed."""

import json
from pathlib import Path

import pytest

from herdbook.core.keys import key_digest
from tests.cli.conftest import Run
from tests.signers import Pair, a_pair, folder_of


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A key, in the folder everything happens in."""
    return a_pair(tmp_path, "majora")


@pytest.fixture
def pushed(run: Run, tmp_path: Path) -> Run:
    """A register whose majora has two versions with bytes."""
    for number in ("v1", "v2"):
        folder = folder_of({"model.bin": number.encode()}, tmp_path / number)
        assert run("add", "majora", number, "--path", str(folder)).status == 0
    return run


def test_only_what_is_signed_is_deployed_once_a_key_is_trusted(pushed: Run, pair: Pair) -> None:
    trusted = pushed("models", "update", "majora", "--trust-key", str(pair.public))
    unsigned = pushed("deploy", "majora", "v1")
    staged = pushed("deploy", "majora", "v1", "--alias", "green")
    signed = pushed("artifacts", "sign", "majora:v1", "--key", str(pair.private))
    deployed = pushed("deploy", "majora", "v1")

    assert (trusted.status, staged.status, signed.status, deployed.status) == (0, 0, 0, 0)
    assert unsigned.status == 1
    assert "majora:v1 cannot become the champion" in unsigned.err
    assert "`herdbook artifacts sign majora:v1 --key KEY`" in unsigned.err
    assert key_digest(pair.public.read_text()) in pushed("info", "majora").out.replace("\n", "")


def test_a_signature_of_another_tool_is_kept_and_counts(
    pushed: Run, pair: Pair, tmp_path: Path
) -> None:
    pushed("artifacts", "sign", "majora:v1", "--key", str(pair.private))
    pushed("models", "update", "majora", "--trust-key", str(pair.public))
    before = pushed("deploy", "majora", "v1")
    pushed("artifacts", "signature", "majora:v1", "--to", str(tmp_path / "model.sig"))

    kept = pushed("artifacts", "sign", "majora:v1", "--signature", str(tmp_path / "model.sig"))

    assert (before.status, kept.status) == (1, 0)
    assert pushed("deploy", "majora", "v1").status == 0


def test_trust_is_taken_away_again(pushed: Run, pair: Pair) -> None:
    pushed("models", "update", "majora", "--trust-key", str(pair.public))

    answer = pushed("models", "update", "majora", "--trust-nobody")

    assert answer.status == 0
    assert "trusted_keys" not in json.loads(pushed("info", "majora", "--json").out)
    assert pushed("deploy", "majora", "v2").status == 0


def test_slips_say_what_was_meant(pushed: Run, pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    update = ("models", "update", "majora")

    private = pushed(*update, "--trust-key", str(pair.private))
    both = pushed(*update, "--trust-key", str(pair.public), "--trust-nobody")
    none = pushed(*update, "--trust-key", str(tmp_path / "bytes"))
    neither = pushed("artifacts", "sign", "majora:v1")

    assert [one.status for one in (private, both, none, neither)] == [2, 2, 2, 2]
    assert "openssl pkey -in KEY -pubout" in private.err
    assert "not both" in both.err
    assert "neither a signature nor a key" in none.err
    assert "--signature" in neither.err
