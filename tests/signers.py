"""Keys, certificates and folders to sign, and upstream's own tool to sign and verify them."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from herdbook.core.artifacts import Artifact, Manifest, digest_of, role_of

FILES = {
    "config.json": b"{}",
    "labels.txt": "weiß\n".encode(),
    "onnx/model.onnx": b"\x08\x07",
    "modèle/poids.bin": b"x" * 1_000,
    "model.safetensors": b"\x02\0\0\0\0\0\0\0{}",
}
PASSWORD = "oracle's own"
Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def manifest_of(files: Mapping[str, bytes]) -> Manifest:
    """The manifest of files."""
    return Manifest(
        tuple(
            Artifact(path=path, size=len(data), digest=digest_of(data), role=role_of(path))
            for path, data in files.items()
        )
    )


def folder_of(files: Mapping[str, bytes], folder: Path) -> Path:
    """Files as a folder."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


@dataclass
class Pair:
    """A key as two PEM files."""

    private: Path
    public: Path
    value: Private


def a_pair(folder: Path, name: str, value: Private | None = None, *, password: str = "") -> Pair:
    """Make a key, on P-256 unless one is given."""
    value = value or ec.generate_private_key(ec.SECP256R1())
    pair = Pair(folder / f"{name}.key", folder / f"{name}.pub", value)
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password.encode())
    pair.private.write_bytes(
        value.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )
    )
    pair.public.write_bytes(
        value.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return pair


@dataclass
class Authority:
    """A key with a certificate that may sign others."""

    value: Private
    certificate: x509.Certificate
    path: Path


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def an_authority(folder: Path, name: str, by: Authority | None = None) -> Authority:
    """Make an authority, a root unless another signs it."""
    value = ec.generate_private_key(ec.SECP256R1())
    made = (
        _begun(name, value, by.certificate.subject if by else _name(name))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(by.value if by else value, hashes.SHA256())
    )
    return Authority(value, made, _written(folder / f"{name}.pem", made))


def _begun(
    name: str, value: Private, issuer: x509.Name, *, days: tuple[int, int] = (-900, 900)
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(value.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
    )


def a_certificate(
    pair: Pair,
    by: Authority,
    *,
    days: tuple[int, int] = (-30, 30),
    signs: bool = True,
    usage: bool = True,
) -> Path:
    """Certify a key, for signing unless told."""
    made = _begun("majora's trainer", pair.value, by.certificate.subject, days=days).add_extension(
        x509.SubjectAlternativeName([x509.RFC822Name("trainer@majora.example")]), critical=False
    )
    if usage:
        made = made.add_extension(_usage(signs=signs), critical=True)
    elif signs:
        made = made.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False
        )
    return _written(pair.private.with_suffix(".pem"), made.sign(by.value, hashes.SHA256()))


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signs,
        key_agreement=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _written(path: Path, certificate: x509.Certificate) -> Path:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


def upstream(*arguments: str | Path) -> tuple[bool, str]:
    """Run upstream's tool; whether it is content, and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "model_signing", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout + done.stderr
