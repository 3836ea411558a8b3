"""Keys whose signatures a model trusts: public ones on P-256, P-384 and P-521, as PEM."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from herdbook.errors import Invalid

KEYS_LIMIT: Final = 16
PEM_LIMIT: Final = 4_096

_PEM: Final = re.compile(
    r"\s*-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*\Z"
)
_LINE: Final = 64
# What the DER of a key begins with (RFC 5480, the point uncompressed), and how long its point is.
_CURVES: Final = {
    bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"): 64,
    bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004"): 96,
    bytes.fromhex("30819b301006072a8648ce3d020106052b810400230381860004"): 132,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Which trusted key a signature was found to be by, over one manifest; the word of a door.

    Args:
        manifest: the digest of the manifest it was checked against.
        key: the digest of the key.
    """

    manifest: str
    key: str


def public_keys(texts: Sequence[str], *, field: str = "trusted_keys") -> tuple[str, ...]:
    """Check keys, and give each once and as PEM is written.

    Raises:
        Invalid: one is no public key, or there are too many.
    """
    if len(texts) > KEYS_LIMIT:
        raise Invalid(f"{len(texts)} {field}; the limit is {KEYS_LIMIT}", field=field)
    return tuple(dict.fromkeys(_public_key(text, field) for text in texts))


def _public_key(text: str, field: str) -> str:
    if "PRIVATE KEY" in text:
        # What it is stays out of the message, and so out of logs.
        raise Invalid(
            "this is a private key, keep it to yourself; give the public one: "
            "openssl pkey -in KEY -pubout -out PUB",
            field=field,
        )
    encoded = base64.b64encode(_der(text, field)).decode()
    lines = [encoded[at : at + _LINE] for at in range(0, len(encoded), _LINE)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def _der(text: str, field: str) -> bytes:
    found = _PEM.match(text) if len(text) <= PEM_LIMIT else None
    try:
        data = base64.b64decode("".join(found[1].split()), validate=True) if found else b""
    except ValueError:
        data = b""
    if not any(data.startswith(h) and len(data) == len(h) + n for h, n in _CURVES.items()):
        raise Invalid(
            f"{text[:40]!r} begins no public key on P-256, P-384 or P-521 as PEM; "
            "write one with openssl pkey -in KEY -pubout -out PUB",
            field=field,
        )
    return data


def key_digest(text: str) -> str:
    """Give the digest of a public key as DER, `sha256:…`: what a key is called.

    Raises:
        Invalid: it is no public key.
    """
    return f"sha256:{hashlib.sha256(_der(text, 'key')).hexdigest()}"
