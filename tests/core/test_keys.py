"""Public keys that a model may trust: what is one, what it is called, what is none."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from herdbook.core.keys import KEYS_LIMIT, key_digest, public_keys
from herdbook.errors import Invalid
from herdbook.signing import keys
from tests.signers import a_pair

PEM, SPKI = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
POINT = serialization.PublicFormat.CompressedPoint


def pem(curve: ec.EllipticCurve | None = None) -> str:
    """A new public key as PEM."""
    made = ec.generate_private_key(curve or ec.SECP256R1()).public_key()
    return made.public_bytes(PEM, SPKI).decode()


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_a_key_is_kept_as_it_is_written_and_called_what_a_signature_calls_its_signer(
    curve: ec.EllipticCurve, tmp_path: Path
) -> None:
    pair = a_pair(tmp_path, "majora", ec.generate_private_key(curve))
    text = pair.public.read_text()

    assert public_keys([text]) == (text,)
    assert key_digest(text) == keys.digest(keys.public(pair.public))


def test_a_key_is_one_however_its_lines_end_and_however_often_it_is_given() -> None:
    text = pem()
    head, *lines, foot = text.splitlines()

    assert public_keys([text, text.replace("\n", "\r\n"), f"\n{text}\n"]) == (text,)
    assert public_keys(["\n".join([head, "".join(lines), foot])]) == (text,)


def test_a_private_key_is_refused_and_not_repeated(tmp_path: Path) -> None:
    private = a_pair(tmp_path, "majora").private.read_text()

    with pytest.raises(Invalid, match="openssl pkey -in KEY -pubout") as refused:
        public_keys([private])

    assert not any(line in str(refused.value) for line in private.splitlines()[1:-1])


def other(kind: str) -> str:
    """What is no key a signature is checked with."""
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048).public_key().public_bytes(PEM, SPKI).decode()
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate().public_key().public_bytes(PEM, SPKI).decode()
    text = pem(ec.SECP256K1() if kind == "another curve" else None)
    return {
        "nothing": "",
        "a certificate": text.replace("PUBLIC KEY", "CERTIFICATE"),
        "two keys": text + text,
        "a longer one": text.replace("-----END", "AAAA\n-----END"),
        "no base 64": text.replace("MFkw", "M=kw"),
        "very long": text + " " * 5_000,
    }.get(kind, text)


@pytest.mark.parametrize(
    "kind",
    [
        *("rsa", "ed25519", "another curve", "nothing", "a certificate", "two keys"),
        *("a longer one", "no base 64", "very long"),
    ],
)
def test_what_no_signature_is_checked_with_is_refused(kind: str) -> None:
    with pytest.raises(Invalid, match="P-256, P-384 or P-521"):
        public_keys([other(kind)])


def test_no_more_keys_are_trusted_than_can_be_checked() -> None:
    many = [pem() for _ in range(KEYS_LIMIT + 1)]

    assert public_keys(many[:-1]) == tuple(many[:-1])
    with pytest.raises(Invalid, match="limit is 16"):
        public_keys(many)
