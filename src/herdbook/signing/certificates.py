"""Certificates that say whose a key is, checked offline against roots of one's own."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from herdbook.errors import BadSignature, Invalid
from herdbook.signing import keys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.x509 import Certificate

CHAIN_LIMIT: Final = 10
_UNUSABLE: Final = "may not sign: it has neither the usage digitalSignature nor codeSigning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Who made a signature that holds.

    Args:
        key: `sha256:…` of the public key, as `openssl pkey -pubin -outform DER` writes it.
        subject: of the certificate, as RFC 4514 writes it; empty for a bare key, as the rest.
        names: e-mail addresses, URIs and host names the certificate also stands for.
        issuer: who signed the certificate.
        until: when the certificate ends.
    """

    key: str
    subject: str = ""
    names: tuple[str, ...] = ()
    issuer: str = ""
    until: datetime | None = None


def chained(paths: Sequence[Path], key: "EllipticCurvePublicKey", at: datetime) -> dict[str, Any]:
    """Give what a bundle holds of the certificate of a key and those behind it.

    Raises:
        Invalid: they cannot be read, are of another key, or do not hold at that time.
    """
    from cryptography.hazmat.primitives.serialization import Encoding

    chain = [one for path in paths for one in _read(path, "certificate")]
    first = chain[0]
    problem = ""
    if first.public_key() != key:
        problem = "is of another key; give the one of the key that signs"
    elif not first.not_valid_before_utc <= at <= first.not_valid_after_utc:
        problem = f"holds from {_day(first.not_valid_before_utc)} to {_day(_end(first))} only"
    elif not _may_sign(first):
        problem = _UNUSABLE
    elif len(chain) > CHAIN_LIMIT:
        problem = f"has {len(chain)} with its chain, the limit is {CHAIN_LIMIT}"
    if problem:
        raise Invalid(f"the certificate {paths[0]} {problem}", field="certificate")
    raw = [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain]
    return {"certificates": [{"rawBytes": one} for one in raw]}


def vouched(chain: Sequence[bytes], roots: Sequence[Path], at: datetime) -> Signer:
    """Say whose a chain of certificates is, when one of the roots vouches for it.

    Raises:
        BadSignature: none does, at that time.
        Invalid: the roots cannot be read.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    trusted = [one for path in roots for one in _read(path, "roots")]
    if not 1 <= len(chain) <= CHAIN_LIMIT:
        raise BadSignature(
            f"the signature holds {len(chain)} certificates, 1 to {CHAIN_LIMIT} are taken"
        )
    try:
        read = [x509.load_der_x509_certificate(one) for one in chain]
        signer, usable = _signer(read[0]), _may_sign(read[0])
        _check([(one, _name(one)) for one in read], trusted, at)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as problem:
        raise BadSignature(
            f"a certificate of the signature cannot be read: {problem!s:.200}"
        ) from None
    if not usable:
        raise BadSignature(f"the certificate of {signer.subject} {_UNUSABLE}")
    return signer


def _check(
    chain: Sequence[tuple["Certificate", str]], roots: Sequence["Certificate"], at: datetime
) -> None:
    from OpenSSL import crypto

    store = crypto.X509Store()
    for root in roots:
        store.add_cert(crypto.X509.from_cryptography(root))
    store.set_time(at.astimezone(UTC))
    first, *rest = (crypto.X509.from_cryptography(one) for one, _ in chain)
    try:
        crypto.X509StoreContext(store, first, rest).verify_certificate()
    except crypto.X509StoreContextError as problem:
        whose = problem.certificate.to_cryptography()
        names = ", by ".join(name for _, name in chain)
        raise BadSignature(
            f"no root vouches on {_day(at)} for {names}: {problem.errors[-1]}; the one at fault "
            f"is good from {_day(whose.not_valid_before_utc)} to {_day(_end(whose))}"
        ) from None


def _read(path: Path, field: str) -> list["Certificate"]:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        found = load_pem_x509_certificates(keys.pem(path, field))
    except ValueError:
        raise Invalid(f"{path} holds no certificate as PEM that can be read", field=field) from None
    return found


def _signer(certificate: "Certificate") -> Signer:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    key = certificate.public_key()
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in keys.CURVES:
        raise BadSignature(
            f"the certificate of {_name(certificate)} is of no key on P-256, P-384 or P-521"
        )
    return Signer(
        key=keys.digest(key),
        subject=_name(certificate),
        names=_names(certificate),
        issuer=certificate.issuer.rfc4514_string(),
        until=_end(certificate),
    )


def _names(certificate: "Certificate") -> tuple[str, ...]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    kinds = (x509.RFC822Name, x509.UniformResourceIdentifier, x509.DNSName)
    return tuple(one.value for one in found if isinstance(one, kinds))


def _may_sign(certificate: "Certificate") -> bool:
    from cryptography import x509

    extensions = certificate.extensions
    try:
        if extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
            return True
    except x509.ExtensionNotFound:
        pass
    try:
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return x509.oid.ExtendedKeyUsageOID.CODE_SIGNING in usages


def _name(certificate: "Certificate") -> str:
    return certificate.subject.rfc4514_string()


def _end(certificate: "Certificate") -> datetime:
    return certificate.not_valid_after_utc


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"
