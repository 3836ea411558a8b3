"""Manifests and signatures out of one register and into another; the bytes travel on their own."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import herdbook as hb
from herdbook.cli.main import main
from herdbook.core.artifacts import digest_of
from herdbook.core.wire import canonical
from herdbook.errors import Corrupt, HerdbookError, Invalid
from herdbook.settings import Settings
from herdbook.storage.sql import health
from herdbook.storage.sql.engine import Database
from tests.transfer.registers import furnish
from tests.transfer.test_broken_exports import edited, place, sealed, without

# What a Herdbook wrote that knew no manifests.
BEFORE = Path(__file__).parent.parent / "golden" / "export_without_bytes.jsonl"
SIGNATURES = ('{"n":1}', '{"by":"Судья\u2028"}')


def opened(url: str, home: Path) -> hb.Herdbook:
    """Open a register whose bytes are in a folder of its own."""
    return hb.connect(settings=Settings(home=home, url=url, actor="curator"))


def furnish_with_bytes(book: hb.Herdbook, folder: Path) -> None:
    """Fill a register, some of its versions with bytes."""
    furnish(book)
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_text(name)
    book.artifacts.push("majora", path=folder)
    book.artifacts.push("oracle", path=folder)
    book.artifacts.push("gnn", path=folder / "config.json")
    book.versions.delete("gnn:1.0.2")
    draft = book.artifacts.push("gnn", path=folder / "model.safetensors", status="draft").version
    assert draft is not None
    (folder / "labels.txt").write_text("a")
    book.artifacts.push("majora", path=folder)
    for signature in SIGNATURES:
        book.artifacts.sign("majora@latest", signature)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[hb.Herdbook]:
    """A furnished register."""
    with opened(f"sqlite:///{tmp_path}/one.db", tmp_path / "one") as book:
        furnish_with_bytes(book, tmp_path / "model")
        yield book


@pytest.fixture
def lines(source: hb.Herdbook) -> list[str]:
    """Its export."""
    return list(source.export())


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty register."""
    sqlite = request.param == "sqlite"
    return f"sqlite:///{tmp_path}/two.db" if sqlite else request.getfixturevalue("postgres_url")


@pytest.fixture
def empty(empty_url: str, tmp_path: Path) -> Iterator[hb.Herdbook]:
    """An empty register."""
    with opened(empty_url, tmp_path / "two") as book:
        yield book


def kinds(lines: list[str], kind: str) -> list[dict[str, Any]]:
    """The lines of a kind."""
    return [found for found in map(json.loads, lines) if found["kind"] == kind]


def test_an_export_has_each_manifest_of_a_version_once_in_the_order_of_digests(
    lines: list[str],
) -> None:
    found = kinds(lines, "manifest")

    assert [one["digest"] for one in found] == sorted({one["digest"] for one in found})
    assert len(found) == 4
    assert all(digest_of(canonical(one["doc"]).encode()) == one["digest"] for one in found)
    assert [one["text"] for one in kinds(lines, "signature")] == list(SIGNATURES)
    assert kinds(lines, "end")[0]["counts"]["manifests"] == 4


def test_a_register_without_bytes_is_exported_as_before_there_were_any(tmp_path: Path) -> None:
    with opened(f"sqlite:///{tmp_path}/one.db", tmp_path / "one") as book:
        furnish(book)
        end = kinds(list(book.export()), "end")[0]

    counted = ["models", "versions", "metrics", "operational", "aliases", "moves", "events"]
    assert list(end["counts"]) == counted


def test_an_export_of_before_there_were_bytes_is_read_and_given_back(empty: hb.Herdbook) -> None:
    lines = BEFORE.read_text(encoding="ascii").splitlines()

    loaded = empty.load(lines)

    assert list(empty.export()) == lines
    assert (loaded.counts["versions"], loaded.counts["manifests"]) == (7, 0)
    assert empty.events.verify().ok


def test_what_was_exported_and_imported_is_exported_the_same_there_and_back(
    source: hb.Herdbook, lines: list[str], empty: hb.Herdbook, tmp_path: Path
) -> None:
    loaded = empty.load(lines)

    assert list(empty.export()) == lines
    assert (loaded.counts["manifests"], loaded.counts["signatures"]) == (4, 2)
    with opened(f"sqlite:///{tmp_path}/back.db", tmp_path / "back") as back:
        back.load(empty.export())
        assert list(back.export()) == lines
    assert list(source.export()) == lines


def test_an_imported_register_agrees_with_itself(
    lines: list[str], empty: hb.Herdbook, empty_url: str
) -> None:
    empty.load(lines)

    found = empty.artifacts.files("majora@latest")
    assert [file.path for file in found.files] == ["config.json", "labels.txt", "model.safetensors"]
    assert [one.text for one in empty.artifacts.signatures("majora@latest").signatures] == list(
        SIGNATURES
    )
    assert empty.events.verify().ok
    database = Database(empty_url)
    with database.reading() as connection:
        assert list(health.inconsistencies(connection)) == []
    database.close()


def test_the_bytes_come_with_the_folder_they_are_in(
    source: hb.Herdbook, lines: list[str], empty: hb.Herdbook, tmp_path: Path
) -> None:
    empty.load(lines)
    before = empty.artifacts.verify()

    shutil.copytree(tmp_path / "one" / "blobs", tmp_path / "two" / "blobs", dirs_exist_ok=True)

    assert (before.damaged, before.blobs) == (3, 3)
    assert empty.artifacts.verify(read_percent=100).damage == ()
    given = empty.artifacts.pull("majora@latest", to=tmp_path / "pulled")
    assert (given / "labels.txt").read_text() == "a"
    assert source.artifacts.verify().damage == ()


def test_a_push_brings_what_an_import_lacks(
    lines: list[str], empty: hb.Herdbook, tmp_path: Path
) -> None:
    empty.load(lines)

    done = empty.artifacts.push("majora", path=tmp_path / "model")

    assert done.new_files == 3
    assert empty.artifacts.verify(read_percent=100).damage == ()


def test_an_import_can_be_pushed_to_before(
    lines: list[str], empty: hb.Herdbook, tmp_path: Path
) -> None:
    list(empty._door.send([tmp_path / "model" / "config.json"]))

    empty.load(lines)

    assert empty.artifacts.verify().damaged == 2


def test_a_size_that_differs_from_what_was_noted_before_is_refused(
    lines: list[str], empty: hb.Herdbook, empty_url: str, tmp_path: Path
) -> None:
    list(empty._door.send([tmp_path / "model" / "config.json"]))
    database = Database(empty_url)
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE blobs SET size = 99")
    database.close()

    with pytest.raises(Corrupt, match=r"line \d: the size it gives sha256:"):
        empty.load(lines)


def of_manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[list[str]], list[str]]:
    """Change the first manifest and give it the digest it has then, as a forger would."""

    def forge(body: dict[str, Any]) -> None:
        change(body["doc"])
        body["digest"] = f"sha256:{hashlib.sha256(canonical(body['doc']).encode()).hexdigest()}"

    return lambda lines: sealed(edited(lines, "manifest", forge))


def shrink(doc: dict[str, Any]) -> None:
    """Give every file of a manifest another size."""
    for layer in doc["layers"]:
        layer["size"] += 1


def first(kind: str, **said: object) -> Callable[[list[str]], list[str]]:
    """Have the first line of a kind say something else."""
    return lambda lines: sealed(edited(lines, kind, lambda body: body.update(said)))


def less(kind: str) -> Callable[[list[str]], list[str]]:
    """Leave the first line of a kind out, and count one less."""

    def leave_out(lines: list[str]) -> list[str]:
        found = without(lines, kind)
        end = json.loads(found[-1])
        end["counts"][f"{kind}s"] -= 1
        return sealed([*found[:-1], json.dumps(end, separators=(",", ":"))])

    return leave_out


def raw(old: str, new: str) -> Callable[[list[str]], list[str]]:
    """Replace text in the first manifest."""

    def change(lines: list[str]) -> list[str]:
        at = place(lines, "manifest")
        return [*lines[:at], lines[at].replace(old, new, 1), *lines[at + 1 :]]

    return change


BROKEN: list[tuple[str, Callable[[list[str]], list[str]], type[HerdbookError], str]] = [
    ("another digest", first("manifest", digest=digest_of(b"")), Corrupt,
     r"line 6: sha256:e3b0c\w+ is not the digest of the manifest beside it"),
    ("no digest", first("manifest", digest="md5:1"), Invalid, "line 6: .*'md5:1' is not a digest"),
    ("a digest of no text", first("manifest", digest=7), Invalid, "line 6: digest is missing"),
    ("no manifest", first("manifest", doc=[]), Corrupt, "line 6: .*not the digest"),
    ("an impossible path", of_manifest(
        lambda doc: doc["layers"][0]["annotations"].update({"org.cncf.model.filepath": "../x"})),
     Invalid, r"line 6: .*'\.\./x' cannot be the path"),
    ("a manifest with more", of_manifest(lambda doc: doc.update(extra=1)), Invalid,
     "line 6: .*holds something else"),
    ("two sizes of a blob", of_manifest(shrink), Corrupt, r"line \d+: the size it gives sha256:"),
    ("infinity", raw('"schemaVersion":2', '"schemaVersion":1e999'), Invalid, "line 6: this is no"),
    ("depth", raw('"schemaVersion":2', f'"schemaVersion":{"[" * 900}{"]" * 900}'), Invalid,
     "line 6"),
    ("a manifest twice", lambda x: [*x[: place(x, "manifest")], x[place(x, "manifest")],
                                    *x[place(x, "manifest") :]], Invalid, "there twice"),
    ("a manifest lost", lambda x: without(x, "manifest"), Invalid,
     r"line \d+: the (version|signature) names the manifest sha256:\w+, which no line before"),
    ("a manifest left out", less("manifest"), Invalid, "names the manifest sha256:"),
    ("a signature lost", lambda x: without(x, "signature"), Corrupt, "lines were lost"),
    ("a signature of none", first("signature", manifest=digest_of(b"")), Invalid,
     r"line 10: the signature names the manifest sha256:e3b0c\w+, which no line before it holds"),
    ("a signature without a text", first("signature", text=None), Invalid, "line 10: text is miss"),
    ("a signature of no time", first("signature", at="noon"), Invalid, "line 10 'noon' is not"),
    ("a signature that is no text", first("signature", text="\ud800"), Invalid, "lines 10 to 11"),
    ("an event of infinity", lambda x: [line.replace('"body":{', '"body":{"a":1e999,')
                                        if '"seq":1,' in line else line for line in x],
     Invalid, "is not an event"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "error", "says"),
    [case[1:] for case in BROKEN],
    ids=[case[0] for case in BROKEN],
)
def test_a_broken_export_is_refused_by_its_line_and_nothing_is_written(
    empty: hb.Herdbook,
    lines: list[str],
    broken: Callable[[list[str]], list[str]],
    error: type[HerdbookError],
    says: str,
) -> None:
    before = list(empty.export())

    for dry_run in (True, False):
        with pytest.raises(error, match=says):
            empty.load(broken(lines), dry_run=dry_run)

    assert list(empty.export()) == before
    assert empty.artifacts.verify().blobs == 0
    empty.load(lines)
    assert list(empty.export()) == lines


def test_a_manifest_of_no_version_is_refused(empty: hb.Herdbook, lines: list[str]) -> None:
    def forge(found: list[str]) -> list[str]:
        at = next(n for n, line in enumerate(found) if '"number":"1.0.3"' in line[:200])
        body = json.loads(found[at])
        del body["facts"]["manifest"]
        about, facts = body["about"], json.dumps(body["facts"], separators=(",", ":"))
        named = json.dumps([about["model"], about["number"]], separators=(",", ":"))
        about["digest"] = hashlib.sha256(named.encode() + facts.encode()).hexdigest()
        text = json.dumps(body, separators=(",", ":"))
        return sealed([*found[:at], text, *found[at + 1 :]])

    with pytest.raises(Corrupt, match="no version in the export has the manifest sha256:"):
        empty.load(forge(lines))


def test_a_note_says_how_many_bytes_are_still_to_come(
    lines: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "register.jsonl"
    path.write_text("".join(line + "\n" for line in lines), encoding="ascii")
    told = []
    for home in ("two", "one"):
        monkeypatch.setenv("HERDBOOK_HOME", str(tmp_path / home))
        for words in (["--dry-run"], []):
            url = f"sqlite:///{tmp_path}/new-{home}.db"
            assert main(["--url", url, "import", str(path), *words]) == 0
            told.append(capsys.readouterr().out)

    assert "4 manifests, 2 signatures" in told[0]
    assert "not in the store" not in told[0]
    assert re.search(r"of 3 blobs 3 are not in the store: .*`herdbook artifacts verify`", told[1])
    # This home has the store of the register that was exported.
    assert "not in the store" not in told[3]


def test_a_store_that_cannot_be_asked_does_not_undo_an_import(
    lines: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "register.jsonl"
    path.write_text("".join(line + "\n" for line in lines), encoding="ascii")
    monkeypatch.setenv("HERDBOOK_BLOBS", "ftp:elsewhere")
    url = f"sqlite:///{tmp_path}/new.db"

    status = main(["--url", url, "import", str(path), "--json"])

    told = json.loads(capsys.readouterr().out)
    assert status == 0
    assert "could not be seen: 'ftp' is no kind of store" in told["notes"][0]
    with opened(url, tmp_path / "one") as book:
        assert list(book.export()) == lines
