"""Signatures: upstream's tool takes ours, we take its, and whatever is wrong is found."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from herdbook import signing
from herdbook.errors import BadSignature, Invalid
from herdbook.signing import signed, verified
from tests.signers import (
    FILES,
    PASSWORD,
    Authority,
    Pair,
    a_certificate,
    a_pair,
    an_authority,
    folder_of,
    manifest_of,
    upstream,
)

MANIFEST = manifest_of(FILES)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return a_pair(tmp_path, "majora")


@pytest.fixture
def root(tmp_path: Path) -> Authority:
    return an_authority(tmp_path, "root")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return folder_of(FILES, tmp_path / "majora-v1")


def _saved(folder: Path, signature: str) -> Path:
    path = folder.with_name("signature.json")
    path.write_text(signature, encoding="utf-8")
    return path


def _statement(signature: str) -> Any:
    return json.loads(base64.b64decode(json.loads(signature)["dsseEnvelope"]["payload"]))


# --- with upstream's own tool ---


@pytest.mark.parametrize(
    "curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda c: c.name
)
def test_upstream_verifies_what_we_signed(
    tmp_path: Path, folder: Path, curve: ec.EllipticCurve
) -> None:
    pair = a_pair(tmp_path, "oracle", ec.generate_private_key(curve))

    signature = _saved(folder, signed(MANIFEST, key=pair.private))

    content, said = upstream(
        *("verify", "key", folder, "--signature", signature, "--public_key", pair.public)
    )
    assert content, said
    assert verified(MANIFEST, signature.read_text(), key=pair.public).key.startswith("sha256:")


def test_we_verify_what_upstream_signed(folder: Path, pair: Pair) -> None:
    signature = folder.with_name("signature.json")

    content, said = upstream(
        *("sign", "key", folder, "--signature", signature, "--private_key", pair.private)
    )

    assert content, said
    assert verified(MANIFEST, signature.read_text(), key=pair.public).subject == ""


def test_what_upstream_signed_into_the_folder_itself_is_over_the_rest_of_it(
    folder: Path, pair: Pair
) -> None:
    inside = folder / "model.sig"

    content, said = upstream(
        *("sign", "key", folder, "--signature", inside, "--private_key", pair.private)
    )

    assert content, said
    assert verified(MANIFEST, inside.read_text(), key=pair.public).key
    with pytest.raises(BadSignature, match=r"'model.sig' are not signed"):
        verified(
            manifest_of({**FILES, "model.sig": inside.read_bytes()}),
            inside.read_text(),
            key=pair.public,
        )


def test_both_agree_on_a_chain_of_certificates(
    tmp_path: Path, folder: Path, pair: Pair, root: Authority
) -> None:
    between = an_authority(tmp_path, "between", by=root)
    certificate = a_certificate(pair, between)

    ours = signed(MANIFEST, key=pair.private, certificate=certificate, chain=[between.path])
    theirs = tmp_path / "theirs.json"
    options = ("--private_key", pair.private, "--signing_certificate", certificate)
    content, said = upstream(
        *("sign", "certificate", folder, "--signature", theirs),
        *(*options, "--certificate_chain", between.path),
    )
    assert content, said

    content, said = upstream(
        *("verify", "certificate", folder, "--signature", _saved(folder, ours)),
        *("--certificate_chain", root.path),
    )
    assert content, said
    one, other = (verified(MANIFEST, s, roots=[root.path]) for s in (ours, theirs.read_text()))
    assert one == other
    assert one.subject == "CN=majora's trainer"
    assert one.issuer == "CN=between"
    assert one.names == ("trainer@majora.example",)
    assert one.until is not None
    assert one.until > datetime.now(UTC)


@pytest.mark.parametrize("change", ["changed", "added", "removed"])
def test_upstream_finds_a_folder_that_is_not_what_we_signed(
    folder: Path, pair: Pair, change: str
) -> None:
    signature = _saved(folder, signed(MANIFEST, key=pair.private))
    if change == "removed":
        (folder / "config.json").unlink()
    else:
        (folder / ("config.json" if change == "changed" else "new.txt")).write_bytes(b"[]")

    content, said = upstream(
        *("verify", "key", folder, "--signature", signature, "--public_key", pair.public)
    )

    assert not content
    assert "mismatch" in said


def test_gits_own_files_need_an_option_of_upstreams_tool(tmp_path: Path, pair: Pair) -> None:
    files = {**FILES, ".gitattributes": b"*.bin filter=lfs\n"}
    folder = folder_of(files, tmp_path / "gbert-base")
    signature = _saved(folder, signed(manifest_of(files), key=pair.private))
    verify = ("verify", "key", folder, "--signature", signature, "--public_key", pair.public)
    sign = ("sign", "key", folder, "--signature", signature, "--private_key", pair.private)

    assert not upstream(*verify)[0]
    assert upstream(*verify, "--no-ignore-git-paths")[0]
    assert upstream(*sign)[0]
    with pytest.raises(BadSignature, match=r"'.gitattributes' are not signed.*--no-ignore-git"):
        verified(manifest_of(files), signature.read_text(), key=pair.public)
    assert upstream(*sign, "--no-ignore-git-paths")[0]
    assert verified(manifest_of(files), signature.read_text(), key=pair.public).key


def test_an_expired_certificate_holds_only_for_when_it_was_good(
    folder: Path, pair: Pair, root: Authority
) -> None:
    then = datetime.now(UTC) - timedelta(days=50)
    certificate = a_certificate(pair, root, days=(-90, -10))
    signature = signed(MANIFEST, key=pair.private, certificate=certificate, at=then)

    with pytest.raises(BadSignature, match=r"majora's trainer.*certificate has expired"):
        verified(MANIFEST, signature, roots=[root.path])
    with pytest.raises(BadSignature, match="not yet valid"):
        verified(MANIFEST, signature, roots=[root.path], at=then - timedelta(days=80))
    assert verified(MANIFEST, signature, roots=[root.path], at=then).until
    # Upstream's tool asks for no time: why we look ourselves.
    assert upstream(
        *("verify", "certificate", folder, "--signature", _saved(folder, signature)),
        *("--certificate_chain", root.path),
    )[0]


PAGE = Path(__file__).parent.parent / "docs" / "signing.md"


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make keys with")
def test_what_the_page_shows_works(folder: Path) -> None:
    shown = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), flags=re.M | re.S)
    made, (by_key, by_certificate) = shown[:3], [b for b in shown if "model_signing" in b]
    _shell("\n".join(made), folder.parent)
    keys = [folder.parent / name for name in ("majora.key", "locked.key", "trainer.key")]

    for key, password in (keys[0], ""), (keys[1], PASSWORD):
        _saved(folder, signed(MANIFEST, key=key, password=password))
        _shell(by_key, folder.parent)
    certificate = folder.parent / "trainer.pem"
    _saved(folder, signed(MANIFEST, key=keys[2], certificate=certificate))
    _shell(by_certificate, folder.parent)
    signature = (folder.parent / "signature.json").read_text()
    assert verified(MANIFEST, signature, roots=[folder.parent / "root.pem"]).subject == "CN=Trainer"


def _shell(text: str, folder: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", text],
        cwd=folder,
        env={**os.environ, "PATH": path, "KEY_PASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- what it says ---


def test_a_signature_names_every_file_with_its_digest(pair: Pair) -> None:
    statement = _statement(signed(MANIFEST, key=pair.private))

    said = {one["name"]: f"sha256:{one['digest']}" for one in statement["predicate"]["resources"]}
    assert said == {file.path: file.digest for file in MANIFEST.files}
    assert statement["subject"][0]["name"] == MANIFEST.digest


def test_ten_thousand_files_are_signed_and_verified(pair: Pair) -> None:
    many = manifest_of({f"shards/{n:05}.bin": str(n).encode() for n in range(10_000)})

    signature = signed(many, key=pair.private)

    assert len(signature) < signing.SIGNATURE_BYTES_LIMIT
    assert verified(many, signature, key=pair.public).key


def test_a_key_with_a_password_signs(tmp_path: Path, root: Authority) -> None:
    pair = a_pair(tmp_path, "oracle", password=PASSWORD)
    certificate = a_certificate(pair, root)

    bare = signed(MANIFEST, key=pair.private, password=PASSWORD)
    certified = signed(MANIFEST, key=pair.private, password=PASSWORD, certificate=certificate)

    assert verified(MANIFEST, bare, key=pair.public).subject == ""
    assert verified(MANIFEST, certified, roots=[root.path]).subject == "CN=majora's trainer"


# --- wrong use ---


def test_keys_that_cannot_sign_are_told_what_can(tmp_path: Path) -> None:
    unfit: dict[str, Any] = {
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "bitcoin": ec.generate_private_key(ec.SECP256K1()),
    }
    for name, value in unfit.items():
        pair = a_pair(tmp_path, name, value)

        with pytest.raises(Invalid, match="no key on P-256, P-384 or P-521; make one with"):
            signed(MANIFEST, key=pair.private)
        with pytest.raises(Invalid, match="no key on P-256, P-384 or P-521"):
            verified(MANIFEST, "{}", key=pair.public)


def test_files_that_are_no_keys_are_refused(tmp_path: Path, pair: Pair) -> None:
    locked = a_pair(tmp_path, "locked", password=PASSWORD)
    text = tmp_path / "notes.txt"
    text.write_text("-----BEGIN NOTES-----\n")
    signature = signed(MANIFEST, key=pair.private)

    for key, password, said in (
        (tmp_path / "nowhere", "", "No such file"),
        (tmp_path, "", "Is a directory"),
        (Path("/dev/zero"), "", "no PEM file"),
        (text, "", "no private key"),
        (pair.public, "", "no private key"),
        (locked.private, "", "needs its password"),
        (locked.private, "wrong", "password is wrong"),
        (pair.private, PASSWORD, "is not encrypted"),
    ):
        with pytest.raises(Invalid, match=said):
            signed(MANIFEST, key=key, password=password)
    with pytest.raises(Invalid, match="is a private key; give the public one"):
        verified(MANIFEST, signature, key=pair.private)
    with pytest.raises(Invalid, match="no public key"):
        verified(MANIFEST, signature, key=text)
    with pytest.raises(Invalid, match="no certificate"):
        verified(
            MANIFEST,
            signed(
                MANIFEST,
                key=pair.private,
                certificate=a_certificate(pair, an_authority(tmp_path, "r")),
            ),
            roots=[text],
        )


def test_a_certificate_that_is_over_is_not_signed_with(pair: Pair, root: Authority) -> None:
    certificate = a_certificate(pair, root, days=(-90, -10))

    with pytest.raises(Invalid, match=r"holds from \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d only"):
        signed(MANIFEST, key=pair.private, certificate=certificate)
    with pytest.raises(Invalid, match="goes with a certificate"):
        signed(MANIFEST, key=pair.private, chain=[root.path])


def test_no_connection_is_made(pair: Pair, root: Authority) -> None:
    certificate = a_certificate(pair, root)
    script = (
        "import socket, sys\n"
        # urllib3 makes a socket and binds it to this machine when it is imported, and no more.
        "free = ('socket.__new__', 'socket.bind')\n"
        "def look(event, _):\n"
        "    if event.startswith('socket.') and event not in free:\n"
        "        sys.exit(f'{event} was called')\n"
        "sys.addaudithook(look)\n"
        "from pathlib import Path\n"
        "from tests.test_signing import MANIFEST\n"
        "from herdbook.signing import signed, verified\n"
        "key, public, certificate, root = map(Path, sys.argv[1:])\n"
        "assert verified(MANIFEST, signed(MANIFEST, key=key), key=public)\n"
        "assert verified(MANIFEST, signed(MANIFEST, key=key, certificate=certificate),"
        " roots=[root])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, pair.private, pair.public, certificate, root.path],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("absent", ["model_signing", "OpenSSL"])
def test_without_the_extra_one_sentence_says_so(absent: str) -> None:
    script = (
        f"import sys; sys.modules['{absent}'] = None\n"
        "import herdbook.signing as signing\n"
        "from pathlib import Path\n"
        "from herdbook.core.artifacts import Artifact, Manifest, digest_of\n"
        "one = Artifact(path='x', size=0, digest=digest_of(b''), role='doc')\n"
        "signing.signed(Manifest((one,)), key=Path('none'))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )

    assert "MissingExtra: signatures need model-signing" in done.stderr
    assert "pip install 'herdbook[signing]'" in done.stderr


def test_importing_it_imports_nothing_heavy() -> None:
    script = (
        "import sys, herdbook.signing\n"
        "print([m for m in ('model_signing', 'OpenSSL', 'cryptography') if m in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
