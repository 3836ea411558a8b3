"""Signatures that are wrong, by chance or by somebody's will: all found."""

import base64
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from herdbook import signing
from herdbook.core.artifacts import Manifest
from herdbook.errors import BadSignature, HerdbookError, Invalid
from herdbook.signing import Signer, signed, verified
from tests.signers import (
    FILES,
    Authority,
    Pair,
    a_certificate,
    a_pair,
    an_authority,
    manifest_of,
)

MANIFEST = manifest_of(FILES)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return a_pair(tmp_path, "majora")


@pytest.fixture
def root(tmp_path: Path) -> Authority:
    return an_authority(tmp_path, "root")


def _statement(signature: str) -> Any:
    return json.loads(base64.b64decode(json.loads(signature)["dsseEnvelope"]["payload"]))


def _forged(pair: Pair, change: Callable[[Any], None]) -> str:
    """A signature that holds, over a statement that is not what upstream writes."""
    bundle = json.loads(signed(MANIFEST, key=pair.private))
    statement = _statement(json.dumps(bundle))
    change(statement)
    payload, kind = json.dumps(statement).encode(), "application/vnd.in-toto+json"
    said = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    assert isinstance(pair.value, ec.EllipticCurvePrivateKey)
    made = pair.value.sign(said, ec.ECDSA(hashes.SHA256()))
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(made).decode()
    return json.dumps(bundle)


# --- other files ---


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({**FILES, "config.json": b"[]"}, "'config.json' were other bytes"),
        ({**FILES, "new.txt": b""}, "'new.txt' are not signed"),
        ({p: d for p, d in FILES.items() if p != "labels.txt"}, "'labels.txt' are signed but not"),
        ({"labels.txt": b"of another version"}, "and 1 more are signed but not there"),
        ({p.upper(): d for p, d in FILES.items()}, "are not signed"),
    ],
    ids=["changed", "added", "removed", "another version", "another case"],
)
def test_a_signature_over_other_files_is_told_with_them(
    pair: Pair, files: dict[str, bytes], said: str
) -> None:
    signature = signed(MANIFEST, key=pair.private)

    with pytest.raises(BadSignature, match=said):
        verified(manifest_of(files), signature, key=pair.public)


def _twice(statement: Any) -> None:
    statement["predicate"]["resources"].append(statement["predicate"]["resources"][0])
    _summed(statement)


def _roundabout(statement: Any) -> None:
    statement["predicate"]["resources"][0]["name"] = "./config.json"


def _no_name(statement: Any) -> None:
    statement["predicate"]["resources"][0]["name"] = 7


def _by_shards(statement: Any) -> None:
    statement["predicate"]["serialization"] |= {"method": "shards", "shard_size": 10}
    for one in statement["predicate"]["resources"]:
        one["name"] += ":0:10"


def _other_hash(statement: Any) -> None:
    statement["predicate"]["resources"][0]["algorithm"] = "blake3"


def _other_statement(statement: Any) -> None:
    statement["_type"] = "https://in-toto.io/Statement/v0.1"


def _old_predicate(statement: Any) -> None:
    statement["predicateType"] = "https://model_signing/Digests/v0.1"
    statement["subject"] = [
        {"name": one["name"], "digest": {"sha256": one["digest"]}}
        for one in statement["predicate"]["resources"]
    ]


def _ignoring(statement: Any) -> None:
    statement["predicate"]["serialization"]["ignore_paths"] = ["config.json"]
    del statement["predicate"]["resources"][0]
    _summed(statement)


def _strange_ignoring(statement: Any) -> None:
    statement["predicate"]["serialization"]["ignore_paths"] = 7


def _empty(statement: Any) -> None:
    statement["predicate"]["resources"] = []
    _summed(statement)


def _summed(statement: Any) -> None:
    import hashlib

    every = b"".join(bytes.fromhex(r["digest"]) for r in statement["predicate"]["resources"])
    statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(every).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        *(_twice, _roundabout, _no_name, _by_shards, _other_hash, _other_statement),
        *(_old_predicate, _ignoring, _strange_ignoring, _empty),
    ],
)
def test_a_statement_that_says_it_otherwise_is_refused_however_well_signed(
    pair: Pair, change: Callable[[Any], None]
) -> None:
    assert verified(MANIFEST, _forged(pair, lambda _: None), key=pair.public).key

    with pytest.raises(BadSignature):
        verified(MANIFEST, _forged(pair, change), key=pair.public)


# --- somebody else's ---


def test_a_signature_by_another_key_is_refused(tmp_path: Path, pair: Pair) -> None:
    other = a_pair(tmp_path, "other")
    signature = signed(MANIFEST, key=pair.private)

    with pytest.raises(BadSignature, match=r"by another key than .*other.pub"):
        verified(MANIFEST, signature, key=other.public)


@pytest.mark.parametrize("hint", ["the other's", None, ""])
def test_the_hint_of_a_key_proves_nothing(
    tmp_path: Path, pair: Pair, hint: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    other = a_pair(tmp_path, "other")
    bundle = json.loads(signed(MANIFEST, key=pair.private))
    if hint:
        hint = json.loads(signed(MANIFEST, key=other.private))["verificationMaterial"]["publicKey"][
            "hint"
        ]
    bundle["verificationMaterial"]["publicKey"] = {} if hint is None else {"hint": hint}

    with pytest.raises(BadSignature, match="not by that key"):
        verified(MANIFEST, json.dumps(bundle), key=other.public)
    if not hint:
        assert verified(MANIFEST, json.dumps(bundle), key=pair.public).key
    assert capsys.readouterr().out == ""


def test_a_root_nobody_trusts_vouches_for_nothing(
    tmp_path: Path, pair: Pair, root: Authority
) -> None:
    certificate = a_certificate(pair, root)
    signature = signed(MANIFEST, key=pair.private, certificate=certificate, chain=[root.path])
    stranger = an_authority(tmp_path, "stranger")

    with pytest.raises(BadSignature, match="no root vouches"):
        verified(MANIFEST, signature, roots=[stranger.path])
    assert verified(MANIFEST, signature, roots=[stranger.path, root.path]).key


def test_a_missing_link_of_the_chain_is_told(tmp_path: Path, pair: Pair, root: Authority) -> None:
    between = an_authority(tmp_path, "between", by=root)
    certificate = a_certificate(pair, between)
    signature = signed(MANIFEST, key=pair.private, certificate=certificate)

    with pytest.raises(BadSignature, match="unable to get local issuer"):
        verified(MANIFEST, signature, roots=[root.path])


def test_a_certificate_that_is_no_authority_certifies_nobody(
    tmp_path: Path, pair: Pair, root: Authority
) -> None:
    from cryptography import x509

    certificate = a_certificate(pair, root)
    read = x509.load_pem_x509_certificate(certificate.read_bytes())
    thief, false = a_pair(tmp_path, "thief"), Authority(pair.value, read, certificate)
    stolen = a_certificate(thief, false)
    signature = signed(MANIFEST, key=thief.private, certificate=stolen, chain=[certificate])

    with pytest.raises(BadSignature, match="no root vouches"):
        verified(MANIFEST, signature, roots=[root.path])


def test_a_certificate_stands_only_for_its_own_key(
    tmp_path: Path, pair: Pair, root: Authority
) -> None:
    certificate, thief = a_certificate(pair, root), a_pair(tmp_path, "thief")
    honest = json.loads(signed(MANIFEST, key=pair.private, certificate=certificate))
    stolen = json.loads(signed(MANIFEST, key=thief.private))
    stolen["verificationMaterial"] = honest["verificationMaterial"]

    with pytest.raises(BadSignature, match="not by that key"):
        verified(MANIFEST, json.dumps(stolen), roots=[root.path])
    with pytest.raises(Invalid, match="of another key"):
        signed(MANIFEST, key=thief.private, certificate=certificate)


def test_a_certificate_for_something_else_does_not_sign(pair: Pair, root: Authority) -> None:
    for_signing = a_certificate(pair, root)
    bundle = json.loads(signed(MANIFEST, key=pair.private, certificate=for_signing))
    certificate = a_certificate(pair, root, signs=False)
    body = "".join(certificate.read_text().splitlines()[1:-1])
    chain = bundle["verificationMaterial"]["x509CertificateChain"]["certificates"]
    chain[0]["rawBytes"] = body

    with pytest.raises(BadSignature, match="may not sign"):
        verified(MANIFEST, json.dumps(bundle), roots=[root.path])
    with pytest.raises(Invalid, match="may not sign"):
        signed(MANIFEST, key=pair.private, certificate=certificate)


@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated:DeprecationWarning")
def test_a_certificate_for_code_signing_alone_signs(pair: Pair, root: Authority) -> None:
    certificate = a_certificate(pair, root, usage=False)

    signature = signed(MANIFEST, key=pair.private, certificate=certificate)

    assert verified(MANIFEST, signature, roots=[root.path]).subject == "CN=majora's trainer"


def test_a_key_and_a_certificate_are_not_taken_for_one_another(pair: Pair, root: Authority) -> None:
    certificate = a_certificate(pair, root)
    bare = signed(MANIFEST, key=pair.private)
    certified = signed(MANIFEST, key=pair.private, certificate=certificate)

    with pytest.raises(BadSignature, match="give the roots"):
        verified(MANIFEST, certified, key=pair.public)
    with pytest.raises(BadSignature, match="by a bare key"):
        verified(MANIFEST, bare, roots=[root.path])
    with pytest.raises(Invalid, match="and not both"):
        verified(MANIFEST, bare)
    with pytest.raises(Invalid, match="and not both"):
        verified(MANIFEST, bare, key=pair.public, roots=[root.path])


# --- mangled ---


def _without(*path: str) -> Callable[[Any], None]:
    def change(bundle: Any) -> None:
        for name in path[:-1]:
            bundle = bundle[name]
        del bundle[path[-1]]

    return change


def _with(value: Any, *path: str) -> Callable[[Any], None]:
    def change(bundle: Any) -> None:
        for name in path[:-1]:
            bundle = bundle[name]
        bundle[path[-1]] = value

    return change


def _another_signature(bundle: Any) -> None:
    bundle["dsseEnvelope"]["signatures"] *= 2


@pytest.mark.parametrize(
    "change",
    [
        _without("mediaType"),
        _without("dsseEnvelope"),
        _without("verificationMaterial"),
        _without("verificationMaterial", "publicKey"),
        _without("dsseEnvelope", "payload"),
        _without("dsseEnvelope", "payloadType"),
        _without("dsseEnvelope", "signatures"),
        _with([], "dsseEnvelope", "signatures"),
        _with([{}], "dsseEnvelope", "signatures"),
        _with([{"sig": 7}], "dsseEnvelope", "signatures"),
        _with("application/json", "dsseEnvelope", "payloadType"),
        _with("not base64!", "dsseEnvelope", "payload"),
        _with("/////w==", "dsseEnvelope", "payload"),
        _with(None, "dsseEnvelope"),
        _with([], "verificationMaterial"),
        _with(None, "verificationMaterial", "publicKey"),
        _with({"certificates": []}, "verificationMaterial", "x509CertificateChain"),
        _with({"hint": 7}, "verificationMaterial", "publicKey"),
        _with([7], "verificationMaterial", "tlogEntries"),
        _another_signature,
    ],
)
def test_a_bundle_that_lacks_or_twists_a_part_is_refused(
    pair: Pair, change: Callable[[Any], None]
) -> None:
    bundle = json.loads(signed(MANIFEST, key=pair.private))
    change(bundle)

    with pytest.raises(BadSignature):
        verified(MANIFEST, json.dumps(bundle), key=pair.public)


@pytest.mark.parametrize(
    "chain",
    [None, 7, {}, {"certificates": None}, {"certificates": []}, {"certificates": [{}]}]
    + [{"certificates": [{"rawBytes": text}] * n} for text, n in (("AAAA", 1), ("AAAA", 11))],
)
def test_a_chain_that_is_none_is_refused(pair: Pair, root: Authority, chain: Any) -> None:
    bundle = json.loads(signed(MANIFEST, key=pair.private))
    bundle["verificationMaterial"] = {"x509CertificateChain": chain}

    with pytest.raises(BadSignature):
        verified(MANIFEST, json.dumps(bundle), roots=[root.path])


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "7", "null", "\ud800", "{" * 100_000, "[" * 100_000),
        *('{"a": 1, "a": 2}', "x" * (signing.SIGNATURE_BYTES_LIMIT + 1)),
    ],
    ids=range(10),
)
def test_what_is_no_bundle_is_refused(pair: Pair, text: str) -> None:
    with pytest.raises(BadSignature):
        verified(MANIFEST, text, key=pair.public)


@pytest.mark.parametrize("certified", [False, True])
def test_whatever_letter_is_changed_nothing_else_is_believed(
    pair: Pair, root: Authority, *, certified: bool
) -> None:
    certificate = a_certificate(pair, root) if certified else None
    text = signed(MANIFEST, key=pair.private, certificate=certificate)
    judge: dict[str, Any] = {"roots": [root.path]} if certified else {"key": pair.public}
    chance = random.Random(7)  # noqa: S311 - the same letters every time
    signer, passed = verified(MANIFEST, text, **judge), 0

    for _ in range(150):
        at = chance.randrange(len(text))
        other = text[:at] + chr(ord(text[at]) ^ 1 << chance.randrange(7)) + text[at + 1 :]
        passed += _passes(MANIFEST, other, judge, signer)

    # Such as a bit of the name of a member that nobody asks for.
    assert passed < 8


def _passes(manifest: Manifest, text: str, judge: Any, signer: Signer) -> bool:
    try:
        assert verified(manifest, text, **judge) == signer
    except HerdbookError as error:
        assert isinstance(error, BadSignature)  # noqa: PT017 - nothing else may come
        return False
    return True
