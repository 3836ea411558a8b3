"""Trusted keys out of one register and into another; what was verified is verified anew."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import herdbook as hb
from herdbook.core.keys import key_digest
from herdbook.errors import Refused
from herdbook.settings import Settings
from herdbook.signing import signed
from tests.signers import Pair, a_pair, folder_of
from tests.transfer.test_broken_exports import edited, sealed


def opened(url: str, home: Path) -> hb.Herdbook:
    """Open a register whose bytes are in a folder of its own."""
    return hb.connect(settings=Settings(home=home, url=url, actor="curator"))


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """The key that is trusted."""
    return a_pair(tmp_path, "ours")


@pytest.fixture
def source(tmp_path: Path, pair: Pair) -> Iterator[hb.Herdbook]:
    """A register in which majora trusts a key that signed both of its versions."""
    with opened(f"sqlite:///{tmp_path}/one.db", tmp_path / "one") as book:
        book.models.create("majora", trusted_keys=pair.public.read_text())
        for number in ("v1", "v2"):
            made = folder_of({"a": number.encode()}, tmp_path / number)
            book.artifacts.push(
                "majora", number, path=made, sign=lambda files: signed(files, key=pair.private)
            )
            book.deployments.promote(f"majora:{number}")
        yield book


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[hb.Herdbook]:
    """An empty register."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/two.db" if sqlite else request.getfixturevalue("postgres_url")
    with opened(url, tmp_path / "two") as book:
        yield book


def test_what_was_verified_elsewhere_is_verified_anew(
    source: hb.Herdbook, empty: hb.Herdbook
) -> None:
    lines = list(source.export())

    empty.load(lines)

    assert list(empty.export()) == lines
    model = empty.models.get("majora")
    assert (model.champion, model.trusted_keys) == ("v2", source.models.get("majora").trusted_keys)
    with pytest.raises(Refused, match="its one signature was not verified here"):
        empty.deployments.rollback("majora")
    (kept,) = empty.artifacts.signatures("majora:v1").signatures
    empty.artifacts.sign("majora:v1", kept.text)
    assert empty.deployments.rollback("majora").to_number == "v1"


def test_an_export_that_claims_a_verification_is_not_believed(
    source: hb.Herdbook, empty: hb.Herdbook, pair: Pair
) -> None:
    key = key_digest(pair.public.read_text())
    lines = list(source.export())
    assert key not in "".join(line for line in lines if '"kind":"signature"' in line)
    claimed = sealed(edited(lines, "signature", lambda said: said.update(key=key)))

    empty.load(claimed)

    assert {one.key for one in empty.artifacts.signatures("majora:v1").signatures} == {""}
    with pytest.raises(Refused, match="not verified here"):
        empty.deployments.rollback("majora")
