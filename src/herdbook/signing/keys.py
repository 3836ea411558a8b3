"""Keys that sign and verify: on the curves Sigstore knows, read from PEM."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from herdbook.errors import Invalid

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )

CURVES: Final = frozenset({"secp256r1", "secp384r1", "secp521r1"})

_PEM_BYTES_LIMIT: Final = 4 * 1024**2
_MADE: Final = "make one with openssl ecparam -name prime256v1 -genkey -noout -out KEY"


def private(path: Path, password: str) -> "EllipticCurvePrivateKey":
    """Read a private key.

    Raises:
        Invalid: it is none that can sign, or the password does not open it.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = pem(path, "key")
    try:
        found = load_pem_private_key(data, password.encode() or None)
    except TypeError:
        problem = "is not encrypted; leave the password out" if password else "needs its password"
        raise Invalid(f"{path} {problem}", field="key") from None
    except ValueError:
        why = "the password is wrong, or it is no private key" if password else "no private key"
        raise Invalid(f"{path} cannot be read: {why}; {_MADE}", field="key") from None
    if not isinstance(found, EllipticCurvePrivateKey):
        raise _unfit(path)
    _refuse_curve(found.public_key(), path)
    return found


def public(path: Path) -> "EllipticCurvePublicKey":
    """Read a public key.

    Raises:
        Invalid: it is none that can verify.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = pem(path, "key")
    if b"PRIVATE KEY" in data:
        raise Invalid(
            f"{path} is a private key; give the public one: openssl pkey -in KEY -pubout -out PUB",
            field="key",
        )
    try:
        found = load_pem_public_key(data)
    except ValueError:
        raise Invalid(f"{path} is no public key as PEM", field="key") from None
    if not isinstance(found, EllipticCurvePublicKey):
        raise _unfit(path)
    _refuse_curve(found, path)
    return found


def _refuse_curve(key: "EllipticCurvePublicKey", path: Path) -> None:
    if key.curve.name not in CURVES:
        raise _unfit(path)


def _unfit(path: Path) -> Invalid:
    return Invalid(f"{path} is no key on P-256, P-384 or P-521; {_MADE}", field="key")


def digest(key: "EllipticCurvePublicKey") -> str:
    """Give the digest of a public key as DER."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    data = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def hint(key: "EllipticCurvePublicKey") -> str:
    """Give what a bundle calls a public key: the digest of it as PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    data = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(data).hexdigest()


def pem(path: Path, field: str) -> bytes:
    """Read a small file that should hold PEM.

    Raises:
        Invalid: it cannot be read, or is something else.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_PEM_BYTES_LIMIT + 1)
    except OSError as problem:
        raise Invalid(f"{path} cannot be read: {problem.strerror}", field=field) from None
    if len(data) > _PEM_BYTES_LIMIT or b"-----BEGIN" not in data:
        raise Invalid(f"{path} is no PEM file, one that has a line -----BEGIN …-----", field=field)
    return data
