"""Signatures of a version's files, as OpenSSF Model Signing makes and checks them.

A signature says for every file of a version its path and its SHA-256. It is made and checked from
the manifest alone: no byte of a file is read again. What upstream's own tool (`model_signing`)
signed or verifies over a folder of these files is the same thing, and the other way round.
"""

import base64
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from herdbook.core.artifacts import Manifest
from herdbook.errors import BadSignature, Invalid, MissingExtra
from herdbook.signing import certificates, keys
from herdbook.signing.certificates import Signer

__all__ = ["BUNDLE_TYPE", "SIGNATURE_BYTES_LIMIT", "Signer", "signed", "verified"]

SIGNATURE_BYTES_LIMIT: Final = 8 * 1024**2
BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"

_PREDICATE: Final = "https://model_signing/signature/v1.0"
# What upstream raises where a part of a bundle is of another kind than it takes for granted.
_TWISTED: Final = (ValueError, TypeError, LookupError, AttributeError)
_NAMED: Final = 3  # of the files a message is about


def signed(
    manifest: Manifest,
    *,
    key: Path,
    password: str = "",
    certificate: Path | None = None,
    chain: Sequence[Path] = (),
    at: datetime | None = None,
) -> str:
    """Sign the files of a version: a Sigstore bundle as JSON text.

    Args:
        manifest: names the files and their digests.
        key: a private key on P-256, P-384 or P-521, as PEM.
        password: of the key.
        certificate: of the key, as PEM; without it the signature only says which key made it.
        chain: certificates between that one and its root, nearest first, as PEM.
        at: when the certificate must be valid; now unless told.

    Raises:
        Invalid: a key or certificate cannot be read, used for this, or do not belong together.
        MissingExtra: model-signing is not installed.
    """
    _needed()
    from model_signing import signing as upstream

    private = keys.private(key, password)
    if chain and certificate is None:
        raise Invalid("a chain goes with a certificate: give that too", field="certificate")
    material = {}
    if certificate is not None:
        path = (certificate, *chain)
        material = certificates.chained(path, private.public_key(), at or datetime.now(UTC))
    config = upstream.Config()  # type: ignore[no-untyped-call]
    config.use_elliptic_key_signer(
        private_key=key,
        password=password.encode() or None,  # type: ignore[arg-type] # str is refused
    )
    with _file() as at_path:
        config.set_hashing_config(_known(manifest)).sign(Path(manifest.digest), at_path)
        bundle = json.loads(at_path.read_text(encoding="utf-8"))
    # What vouches for the key lies beside what is signed, so one kind can stand for the other.
    if material:
        del bundle["verificationMaterial"]["publicKey"]
        bundle["verificationMaterial"]["x509CertificateChain"] = material
    return json.dumps(bundle, separators=(",", ":"))


def verified(
    manifest: Manifest,
    signature: str,
    *,
    key: Path | None = None,
    roots: Sequence[Path] = (),
    at: datetime | None = None,
) -> Signer:
    """Check that a signature holds and is over exactly the files of a version, offline.

    Args:
        manifest: names the files and their digests.
        signature: a Sigstore bundle as JSON text.
        key: the public key that must have made it, as PEM; or
        roots: certificates of which one must vouch for who made it, as PEM.
        at: when the certificates must be valid, such as when the signature came in; now unless
            told. Upstream's tool does not ask, to it an expired certificate is good.

    Raises:
        BadSignature: it does not hold, is by somebody else, or is over other files.
        Invalid: neither a key nor roots are given, or both, or they cannot be read.
        MissingExtra: model-signing is not installed.
    """
    _needed()
    if (key is None) == (not roots):
        raise Invalid("give the public key the signature is by, or roots, and not both")
    public = None if key is None else keys.public(key)
    bundle = _bundle(signature)
    if key is not None and public is not None:
        _match_key(bundle, public, key)
        signer = Signer(key=keys.digest(public))
    else:
        signer = certificates.vouched(_chain(bundle), roots, at or datetime.now(UTC))
    statement = _held(bundle, manifest, key, roots)
    _refuse_other_files(statement, manifest)
    return signer


def _needed() -> None:
    try:
        from model_signing import signing  # noqa: F401 - pyopenssl, which it needs, is asked for too
    except ModuleNotFoundError as missing:
        if str(missing.name).partition(".")[0] not in {"model_signing", "OpenSSL"}:
            raise
        raise MissingExtra(
            "signatures need model-signing and pyopenssl: pip install 'herdbook[signing]'"
        ) from None


@contextmanager
def _file() -> Iterator[Path]:
    # Upstream takes and gives signatures as files only.
    with tempfile.TemporaryDirectory(prefix="herdbook-") as folder:
        yield Path(folder) / "signature.json"


def _known(manifest: Manifest) -> Any:
    """Give what upstream asks for the digests of a folder; it answers from the manifest."""
    from model_signing import hashing
    from model_signing import manifest as upstream
    from model_signing._hashing.hashing import Digest  # what its manifests are made of

    def item(path: str, digest: str) -> upstream.FileManifestItem:
        value = bytes.fromhex(digest.removeprefix("sha256:"))
        return upstream.FileManifestItem(path=Path(path), digest=Digest("sha256", value))

    said = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}

    class Known(hashing.Config):
        asked = False

        def hash(self, *_: Any, **__: Any) -> upstream.Manifest:
            self.asked = True
            return upstream.Manifest(
                manifest.digest,
                [item(file.path, file.digest) for file in manifest.files],
                upstream.SerializationType.from_args(said),
            )

    return Known()  # type: ignore[no-untyped-call]


def _held(
    bundle: dict[str, Any], manifest: Manifest, key: Path | None, roots: Sequence[Path]
) -> dict[str, Any]:
    """Let upstream check a signature, and give the statement it is over."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from model_signing import verifying as upstream
    from OpenSSL import crypto

    known, config = _known(manifest), upstream.Config()  # type: ignore[no-untyped-call]
    if key is not None:
        config.use_elliptic_key_verifier(public_key=key)
    else:
        config.use_certificate_verifier(certificate_chain=roots)
    try:
        with _file() as path:
            path.write_text(json.dumps(bundle), encoding="utf-8")
            config.set_hashing_config(known).verify(Path(manifest.digest), path)
    except InvalidSignature:
        raise BadSignature(
            "the signature is not by that key over these statements: one of them was changed"
        ) from None
    except (*_TWISTED, UnsupportedAlgorithm, crypto.Error) as problem:
        # It asks for the digests when the signature held: then it is about the files.
        if not known.asked:
            raise _mangled(str(problem)) from None
    except crypto.X509StoreContextError as problem:
        raise BadSignature(f"the certificate of the signature does not hold: {problem}") from None
    statement: dict[str, Any] = _parsed(_bytes(bundle["dsseEnvelope"]["payload"]).decode())
    return statement


def _refuse_other_files(statement: Mapping[str, Any], manifest: Manifest) -> None:
    try:
        predicate = statement["predicate"]
        kind, method = statement["predicateType"], predicate["serialization"]["method"]
        algorithms = {one["algorithm"] for one in predicate["resources"]}
        said = sorted((one["name"], f"sha256:{one['digest']}") for one in predicate["resources"])
    except (TypeError, KeyError):
        raise _mangled("it says nothing of files") from None
    if (kind, method, algorithms) != (_PREDICATE, "files", {"sha256"}):
        raise BadSignature(
            "the signature holds, but is not over whole files by SHA-256 as model_signing 1.0 "
            "writes it; sign again without --hash and --shard options"
        )
    there = {file.path: file.digest for file in manifest.files}
    if said != sorted(there.items()):
        raise BadSignature(_differences(dict(said), there), details={"manifest": manifest.digest})


def _differences(said: Mapping[str, str], there: Mapping[str, str]) -> str:
    told = [
        _told("are not signed", there.keys() - said.keys()),
        _told("are signed but not there", said.keys() - there.keys()),
        _told("were other bytes", {p for p in there.keys() & said.keys() if there[p] != said[p]}),
    ]
    found = "; ".join(filter(None, told)) or "a file is named twice"
    hint = ""
    if any(path.split("/")[0].startswith(".git") for path in there.keys() - said.keys()):
        hint = "; model_signing leaves git's own files out unless told --no-ignore-git-paths"
    return f"the signature holds, but it is over other files: {found}{hint}"


def _told(what: str, paths: set[str]) -> str:
    if not paths:
        return ""
    shown = ", ".join(f"{path!r:.80}" for path in sorted(paths)[:_NAMED])
    more = f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else ""
    return f"{shown}{more} {what}"


def _mangled(why: str) -> BadSignature:
    return BadSignature(f"this is no signature of a version: {why:.200}; fetch it again")


def _bundle(text: str) -> dict[str, Any]:
    """Read a bundle, with its every part that is used below of the right kind."""
    if len(text) > SIGNATURE_BYTES_LIMIT:
        raise _mangled(f"it has {len(text):,} characters, the limit is {SIGNATURE_BYTES_LIMIT:,}")
    bundle = _parsed(text)
    try:
        envelope, material = bundle["dsseEnvelope"], bundle["verificationMaterial"]
        (one,) = envelope["signatures"]
        _bytes(one["sig"])
        _bytes(envelope["payload"]).decode()
        kinds = {"publicKey", "x509CertificateChain"} & material.keys()
    except KeyError as missing:
        raise _mangled(f"it has no {missing.args[0]}") from None
    except (TypeError, ValueError, AttributeError):
        raise _mangled("a part of it is not what it should be") from None
    if bundle.get("mediaType") != BUNDLE_TYPE:
        raise _mangled(f"it is of the type {bundle.get('mediaType')!r:.80}, not {BUNDLE_TYPE}")
    if len(kinds) != 1:
        raise BadSignature(
            "the signature names neither a key nor a chain of certificates, or both; "
            "sign with a key of your own, what Sigstore's service signs is not checked here"
        )
    return bundle


def _match_key(bundle: dict[str, Any], public: Any, path: Path) -> None:
    """Refuse what another key made, before upstream says less of it."""
    material = bundle["verificationMaterial"]
    if "publicKey" not in material:
        raise BadSignature(
            "the signature is by a certificate; give the roots that vouch for it, not a key"
        )
    if not isinstance(material["publicKey"], dict):
        raise _mangled("it does not say of a key which one it is")
    hint, said = keys.hint(public), material["publicKey"].get("hint")
    if said and said != hint:
        raise BadSignature(f"the signature is by another key than {path}")
    material["publicKey"] = {"hint": hint}


def _chain(bundle: dict[str, Any]) -> list[bytes]:
    material = bundle["verificationMaterial"]
    if "x509CertificateChain" not in material:
        raise BadSignature(
            "the signature is by a bare key, for which no certificate vouches; give that key"
        )
    try:
        return [_bytes(one["rawBytes"]) for one in material["x509CertificateChain"]["certificates"]]
    except (TypeError, ValueError, KeyError):
        raise _mangled("it holds no certificates") from None


def _parsed(text: str) -> dict[str, Any]:
    # Of two members of one name, another reader might take the other.
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a member is there twice")
        return found

    try:
        found = json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as problem:
        raise _mangled(f"it is not the JSON it should be ({problem})") from None
    if not isinstance(found, dict):
        raise _mangled("it is no JSON object")
    return found


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
