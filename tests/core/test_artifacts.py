"""The files of a version: their paths, their digests, and the manifest that names them."""

import hashlib
import json
import re
import time
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from herdbook.core import artifacts, names
from herdbook.core.artifacts import (
    FILES_LIMIT,
    MANIFEST_BYTES_LIMIT,
    PATH_BYTES_LIMIT,
    SEGMENT_BYTES_LIMIT,
    SIZE_LIMIT,
    Artifact,
    Manifest,
    blob_digest,
    digest_of,
    file_path,
    role_of,
)
from herdbook.core.wire import canonical
from herdbook.errors import Invalid

GOLDEN = json.loads(Path("tests/golden/manifests.json").read_text(encoding="utf-8"))
VECTORS = pytest.mark.parametrize("vector", GOLDEN, ids=lambda vector: str(vector["name"]))
EMPTY = digest_of(b"")
ROLES = ("weights", "config", "tokenizer", "labels", "doc", "code", "dataset", "lora")

segments = st.one_of(
    st.sampled_from(["a", "A", "b", "é", "ß", "ss", "majora", "model.safetensors", "🐂", "Σ", "ς"]),
    st.text("aAbBéİß\u0131\u017f.-_ ", min_size=1, max_size=4),
    st.text(min_size=1, max_size=8),
)
paths = st.lists(segments, min_size=1, max_size=4).map("/".join)


def fits(path: str) -> bool:
    """Say whether a path is one."""
    try:
        return bool(file_path(path))
    except Invalid:
        return False


a_file = st.builds(
    Artifact,
    path=paths.filter(fits),
    size=st.integers(0, SIZE_LIMIT),
    digest=st.binary(max_size=2).map(digest_of),
    role=st.sampled_from(ROLES),
)


def a_manifest(*paths: str) -> Manifest:
    """Give the manifest of empty files."""
    return Manifest(tuple(an_empty(path) for path in paths))


def an_empty(path: str) -> Artifact:
    """Give an empty file."""
    return Artifact(path=path, size=0, digest=EMPTY, role="config")


def kept(files: Sequence[Artifact]) -> Manifest:
    """Give the manifest of files, or pass over the example when they cannot be together."""
    try:
        return Manifest(tuple(files))
    except Invalid:
        assume(condition=False)
        raise


# --- paths ---


@pytest.mark.parametrize(
    "path",
    [
        "model.safetensors", "onnx/model.onnx", "a/b/c/d.json", ".gitattributes", "-rf", "a b.txt",
        "model-00001-of-00002.safetensors", "é.json", "日本語/語彙.txt", "🐂.json", "...a", "a~1",
        "con-v.json", "console.log", "common.json", "comb1", "lpt", "a%2e%2e", "~x", "$HOME", "a;b",
    ],
)  # fmt: skip
def test_a_path_is_kept_as_it_is(path: str) -> None:
    assert file_path(path) == path


@pytest.mark.parametrize(
    ("path", "said"),
    [
        # out of the folder
        ("../../etc/cron.d/x", "it has the part '..'"),
        ("a/../../x", "it has the part '..'"),
        ("a/..", "it has the part '..'"),
        ("a/./x", "it has the part '.'"),
        ("a//x", "it has the part ''"),
        ("a/", "it has the part ''"),
        ("/abs", "it is absolute"),
        ("//srv/s", "it is absolute"),
        ("..\\..\\x", "it holds \\"),
        ("\\\\srv\\s", "it holds \\"),
        ("C:\\x", "it holds :"),
        ("C:/x", "it holds :"),
        ("a.json:stream", "it holds :"),
        # not what one sees
        ("a\x00b", "it holds U+0000, a character that cannot be seen"),
        ("a\nb", "it holds U+000A, a character that cannot be seen"),
        ("a\x7fb", "it holds U+007F, a character that cannot be seen"),
        ("a\u202egpj.exe", "it holds U+202E, a character that cannot be seen"),
        ("a\u200bb", "it holds U+200B, a character that cannot be seen"),
        ("\ufeffa", "it holds U+FEFF, a character that cannot be seen"),
        ("a\u00a0b", "it holds U+00A0, a character that cannot be seen"),
        ("a\u3164b", "it holds U+3164, a character that cannot be seen"),
        ("a\ufe0fb", "it holds U+FE0F, a character that cannot be seen"),
        ("a\u2028b", "it holds U+2028, a character that cannot be seen"),
        ("a\ue000b", "it holds U+E000, a character that cannot be seen"),
        ("a\uffffb", "it holds U+FFFF, a character that cannot be seen"),
        ("a\ud800b", "it holds U+D800, a character that cannot be seen"),
        # what a disk changes
        ("a.", "ends with one or a dot"),
        ("a /x", "ends with one or a dot"),
        (" a", "begins with a space"),
        ("CON", "'CON' is a device on Windows"),
        ("nul.txt", "'nul.txt' is a device on Windows"),
        ("a/Com1.tar.gz", "'Com1.tar.gz' is a device on Windows"),
        ("lpt¹", "'lpt¹' is a device on Windows"),
        ("aux .json", "'aux .json' is a device on Windows"),
        ("conin$", "'conin$' is a device on Windows"),
        ("a?b", "it holds ?"),
        ("a*b", "it holds *"),
        ("<a", "it holds <"),
        ("a|b", "it holds |"),
        ('a"b', 'it holds "'),
        ("e\u0301.json", "it is not in the normal form NFC"),
        ("\u212b", "it is not in the normal form NFC"),
        # over a limit
        ("a" * 300, "a part is over 255 bytes"),
        ("é" * 128, "a part is over 255 bytes"),
        ("a" * 5_000, "it is over 1,024 bytes"),
        ("/".join("a" * 520), "it is over 1,024 bytes"),
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused_with_its_reason(path: str, said: str) -> None:
    with pytest.raises(Invalid, match=re.escape(said)) as caught:
        file_path(path)

    assert caught.value.field == "path"
    assert caught.value.message.isprintable()
    assert "write a relative one such as onnx/model.onnx" in caught.value.message


@pytest.mark.parametrize("path", ["", None, b"a", 7, ("a",)])
def test_what_is_no_text_is_no_path(path: object) -> None:
    with pytest.raises(Invalid, match="a path must be text"):
        file_path(path)  # type: ignore[arg-type]


def test_limits_of_a_path_hold_at_the_limit_and_one_over() -> None:
    assert file_path("a" * SEGMENT_BYTES_LIMIT)
    assert file_path("é" * 127 + "a")
    full = "/".join(["a" * SEGMENT_BYTES_LIMIT] * 4) + "/"
    assert len(full) == PATH_BYTES_LIMIT
    assert file_path(full[:-2] + "/a") == full[:-2] + "/a"
    with pytest.raises(Invalid, match="1,024"):
        file_path(f"{full}a")


@given(path=paths)
@example("a\u0345")
def test_a_path_stays_inside_its_folder_and_is_seen_whole(path: str) -> None:
    assume(fits(path))

    assert path.isprintable()
    assert unicodedata.normalize("NFC", path) == path
    assert not path.startswith("/")
    assert not {"", ".", ".."} & set(path.split("/"))
    assert (Path("/herd") / path).resolve().is_relative_to("/herd")


# --- digests, sizes, roles ---


def test_a_digest_is_sha_256_of_the_bytes() -> None:
    assert digest_of(b"majora") == f"sha256:{hashlib.sha256(b'majora').hexdigest()}"
    assert blob_digest(EMPTY) == EMPTY


@pytest.mark.parametrize(
    "text",
    [
        "", "sha256:", EMPTY[:-1], EMPTY + "0", EMPTY + "\n", EMPTY.upper(), "SHA256:" + "0" * 64,
        "sha256:" + "A" * 64, "sha512:" + "0" * 128, "md5:" + "0" * 32, "0" * 64,
        "sha256-" + "0" * 64,
        "sha256:" + "\u0660" * 64, "sha256:../" + "0" * 61, " " + EMPTY, None, b"sha256:", 7,
    ],
)  # fmt: skip
def test_anything_but_a_digest_is_refused(text: object) -> None:
    with pytest.raises(Invalid, match="sha256: and 64 lower-case"):
        blob_digest(text)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [-1, SIZE_LIMIT + 1, 1.0, True, "1", None, 10**4_000, [10**5_000]])
def test_a_size_is_a_whole_number_every_reader_of_json_keeps(size: object) -> None:
    assert Artifact(path="a", size=SIZE_LIMIT, digest=EMPTY, role="config").size == 2**53 - 1
    with pytest.raises(Invalid, match="9,007,199,254,740,991") as caught:
        Artifact(path="a", size=size, digest=EMPTY, role="config")  # type: ignore[arg-type]

    assert caught.value.field == "size"


@pytest.mark.parametrize("role", ["", "Weights", "a b", "../x", "a" * (names.ALIAS_LIMIT + 1)])
def test_a_role_is_a_word(role: str) -> None:
    with pytest.raises(Invalid):
        Artifact(path="a", size=0, digest=EMPTY, role=role)


@pytest.mark.parametrize(
    ("role", "found"),
    [
        ("weights", "model.safetensors model-00001-of-00002.safetensors pytorch_model.bin a.GGUF"),
        ("weights", "onnx/model.onnx model.onnx_data model.onnx.data x.pkl token_embeddings.onnx"),
        ("tokenizer", "tokenizer.json tokenizer_config.json vocab.txt vocab.json merges.txt"),
        ("tokenizer", "special_tokens_map.json spiece.model sentencepiece.bpe.model"),
        ("labels", "labels.txt labels.json id2labels.json label_map.pbtxt"),
        ("doc", "README.md LICENSE LICENSE.txt NOTICE notes/x.rst card.pdf"),
        ("code", "modeling_majora.py tokenization_majora.py run.sh explore.ipynb"),
        ("config", "config.json generation_config.json model.safetensors.index.json a.yaml x"),
    ],
)
def test_a_role_is_guessed_from_the_name(role: str, found: str) -> None:
    assert {path: role_of(path) for path in found.split()} == dict.fromkeys(found.split(), role)


# --- which files may be together ---


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("a.json", "a.json", "a.json is there twice"),
        ("a.json", "A.json", "one file where case does not count"),
        ("straße", "STRASSE", "one file where case does not count"),
        ("ΣΑΣ", "σας", "one file where case does not count"),
        ("Å", "å", "one file where case does not count"),
        ("a/b", "a/B", "one file where case does not count"),
        ("onnx", "onnx/model.onnx", "onnx is a file, and onnx/model.onnx needs a folder"),
        ("ONNX", "onnx/model.onnx", "ONNX is a file, and onnx/model.onnx needs a folder"),
        ("a/b", "a/b/c/d", "a/b is a file, and a/b/c/d needs a folder"),
        ("onnx/a", "ONNX/b", "in one folder where case does not count"),
        ("a/onnx/x/b", "a/Onnx/y/c", "in one folder where case does not count"),
    ],
)
def test_paths_a_disk_could_take_for_one_another_are_refused(
    one: str, other: str, said: str
) -> None:
    for pair in ((one, other), (other, one)):
        with pytest.raises(Invalid, match=said) as caught:
            a_manifest("a-b", "a.b", *pair, "zz", "onnx-a", "onnx.a")
        assert caught.value.field == "files"


def test_two_normal_forms_of_a_name_are_not_even_two_paths() -> None:
    assert a_manifest("\u00e9").files
    with pytest.raises(Invalid, match="NFC"):
        a_manifest("\u00e9", "e\u0301")


def test_paths_that_only_look_alike_may_stand_together() -> None:
    assert a_manifest("a", "ab", "a-b/c", "a.b", "b/a", "b/a.b/c", "c/a/b", "c/a.b").files


@given(found=st.lists(paths.filter(fits), min_size=2, max_size=6, unique=True))
def test_what_a_disk_ignoring_case_would_merge_is_refused(found: list[str]) -> None:
    def merged(path: str) -> str:
        return unicodedata.normalize("NFC", path.casefold())

    manifest = kept([an_empty(path) for path in found])

    # Then a disk that ignores case holds as many files and folders as one that does not.
    entries = {
        "/".join(parts[:at])
        for parts in (f.path.split("/") for f in manifest.files)
        for at in range(1, len(parts) + 1)
    }
    assert len({merged(entry) for entry in entries}) == len(entries)
    files = {merged(f.path) for f in manifest.files}
    folders = {merged(e) for e in entries} - files
    assert len(files) == len(found)
    assert not any(file.startswith(f"{other}/") for file in files for other in files)
    assert folders | files == {merged(entry) for entry in entries}


def test_a_version_has_one_file_to_ten_thousand() -> None:
    with pytest.raises(Invalid, match="0 files; a version has 1 to 10,000"):
        Manifest(())
    files = tuple(an_empty(f"{n}.json") for n in range(FILES_LIMIT))
    assert len(Manifest(files).files) == FILES_LIMIT
    with pytest.raises(Invalid, match="10,001 files; a version has 1 to 10,000"):
        Manifest((*files, an_empty("one-more.json")))


def test_a_manifest_is_at_most_what_a_registry_takes() -> None:
    def of(count: int, *, last: int) -> tuple[Artifact, ...]:
        folder = "a" * 250
        name = (("z" * 199 + "/") * 5)[: last - 1] + "z"
        return *(an_empty(f"{folder}/{n:04}") for n in range(count)), an_empty(name)

    one, two = (len(Manifest(of(count, last=1)).text) for count in (1, 2))
    count = (MANIFEST_BYTES_LIMIT - one) // (two - one)
    last = 1 + MANIFEST_BYTES_LIMIT - len(Manifest(of(count, last=1)).text)

    assert len(Manifest(of(count, last=last)).text) == MANIFEST_BYTES_LIMIT
    with pytest.raises(Invalid, match="the limit is 4,194,304"):
        Manifest(of(count, last=last + 1))


def test_the_deepest_folders_cost_no_more_than_their_text() -> None:
    deep = "/".join(["a"] * 500)
    files = tuple(an_empty(f"{n}/{deep}") for n in range(2_500))
    before = time.process_time()

    assert Manifest(files).digest

    # Keeping every folder of every path took 5 s and 700 MB more.
    assert time.process_time() - before < 4


# --- the manifest ---


@given(files=st.lists(a_file, min_size=1, max_size=5), data=st.data())
def test_a_manifest_is_read_back_and_knows_no_order(
    files: list[Artifact], data: st.DataObject
) -> None:
    manifest = kept(files)

    again = Manifest.parse(manifest.text)
    turned = Manifest(tuple(data.draw(st.permutations(files))))

    assert again == manifest == turned
    assert again.text == manifest.text == turned.text
    assert again.digest == turned.digest == digest_of(manifest.text.encode())
    assert set(again.files) == set(files)
    assert again.size == sum(file.size for file in files)
    assert manifest.text.isascii()
    assert canonical(json.loads(manifest.text)) == manifest.text


few = st.lists(
    st.builds(
        Artifact,
        path=st.sampled_from(["a", "b"]),
        size=st.integers(0, 1),
        digest=st.sampled_from([EMPTY, digest_of(b"x")]),
        role=st.sampled_from(["weights", "config", "tokenizer"]),
    ),
    min_size=1,
    max_size=2,
)


@given(one=few, other=few)
def test_files_are_equal_exactly_when_their_digests_are(
    one: list[Artifact], other: list[Artifact]
) -> None:
    first, second = kept(one), kept(other)

    assert (set(one) == set(other)) == (first.digest == second.digest)
    assert (set(one) == set(other)) == (first == second)


@VECTORS
def test_a_golden_manifest_is_what_the_files_give(vector: dict[str, Any]) -> None:
    manifest = Manifest(tuple(Artifact(**file) for file in vector["files"]))

    assert manifest.text == vector["manifest"]
    assert manifest.digest == vector["digest"]
    assert manifest.config == vector["config"]
    assert Manifest.parse(vector["manifest"]) == manifest
    for text, digest in (("manifest", "digest"), ("config", "config_digest")):
        said = hashlib.sha256(vector[text].encode()).hexdigest()
        assert vector[digest] == f"sha256:{said}"


# Each says what it is in the OCI image specification 1.1 (schema/*.json, manifest.md), or in
# ModelPack's (docs/spec.md, schema/config-schema.json); written here so that no test downloads.
_MEDIA_TYPE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
)
_OCI_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+")
_MODELPACK_LAYERS = {
    "application/vnd.cncf.model.weight.v1.raw",
    "application/vnd.cncf.model.weight.config.v1.raw",
    "application/vnd.cncf.model.doc.v1.raw",
    "application/vnd.cncf.model.code.v1.raw",
    "application/vnd.cncf.model.dataset.v1.raw",
}


def _is_descriptor(one: dict[str, Any]) -> bool:
    return (
        one.keys() >= {"mediaType", "size", "digest"}
        and one.keys() <= {"mediaType", "size", "digest", "annotations"}
        and _MEDIA_TYPE.fullmatch(one["mediaType"]) is not None
        and _OCI_DIGEST.fullmatch(one["digest"]) is not None
        and type(one["size"]) is int
        and 0 <= one["size"] < 2**63
        and all(type(v) is str and k for k, v in one.get("annotations", {}).items())
    )


OCI_RULES: dict[str, Callable[[dict[str, Any], dict[str, Any]], bool]] = {
    "required properties": lambda m, _: m.keys() >= {"schemaVersion", "config", "layers"},
    "schemaVersion is 2": lambda m, _: m["schemaVersion"] == 2,
    "mediaType is the image manifest's": lambda m, _: (
        m["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    ),
    "artifactType is ModelPack's": lambda m, _: (
        m["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    ),
    "config is a descriptor": lambda m, _: _is_descriptor(m["config"]),
    "config is ModelPack's": lambda m, _: (
        m["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    ),
    "layers has an item": lambda m, _: len(m["layers"]) >= 1,
    "layers are descriptors": lambda m, _: all(map(_is_descriptor, m["layers"])),
    "layers are of ModelPack's types": lambda m, _: all(
        layer["mediaType"] in _MODELPACK_LAYERS for layer in m["layers"]
    ),
    "layers say their path": lambda m, _: all(
        layer["annotations"]["org.cncf.model.filepath"] for layer in m["layers"]
    ),
    "config has the required properties": lambda _, c: (
        c.keys() == {"descriptor", "config", "modelfs"}
    ),
    "modelfs is layers": lambda _, c: c["modelfs"]["type"] == "layers",
    "diffIds are the layers' bytes, in their order": lambda m, c: (
        c["modelfs"]["diffIds"] == [layer["digest"] for layer in m["layers"]]
    ),
}


@VECTORS
@pytest.mark.parametrize("rule", OCI_RULES)
def test_a_manifest_is_an_oci_image_manifest_of_a_model(vector: dict[str, Any], rule: str) -> None:
    manifest = Manifest(tuple(Artifact(**file) for file in vector["files"]))
    read, config = json.loads(manifest.text), json.loads(manifest.config)

    assert OCI_RULES[rule](read, config)
    assert read["config"]["digest"] == digest_of(manifest.config.encode())
    assert read["config"]["size"] == len(manifest.config.encode())


def _changed(change: Callable[[dict[str, Any]], object]) -> str:
    read = json.loads(GOLDEN[1]["manifest"])
    change(read)
    return canonical(read)


OTHER_TEXTS = [
    "", "{", "null", "7", '"x"', "[]", "{}", '{"layers": 7}', '{"layers": [7]}', "[" * 100_000,
    '{"layers": {"a": 1}}', '{"layers": [{"annotations": []}]}',
    GOLDEN[1]["manifest"] + "\n",
    GOLDEN[1]["manifest"].replace(":2", ": 2", 1),
    GOLDEN[1]["manifest"].replace("{", '{"schemaVersion":2,', 1),
    GOLDEN[1]["manifest"].replace('"size":2', '"size":2.0', 1),
    GOLDEN[1]["manifest"].replace('"size":2', '"size":' + "9" * 5_000, 1),
    GOLDEN[1]["manifest"].replace("config.json", "..", 1),
    GOLDEN[1]["manifest"].replace("config.json", "../x", 1),
    GOLDEN[1]["manifest"].replace("config.json", "\\ud800", 1),
    GOLDEN[1]["manifest"].replace("config.json", "README.md", 1),
    _changed(lambda m: m["layers"].reverse()),
    _changed(lambda m: m["layers"].append(m["layers"][0])),
    _changed(lambda m: m["layers"].clear()),
    _changed(lambda m: m["layers"][0].update(urls=["http://127.0.0.1/x"])),
    _changed(lambda m: m["layers"][0].update(data="e30=")),
    _changed(lambda m: m["layers"][0].update(mediaType="text/plain")),
    _changed(lambda m: m["layers"][0].update(size=True)),
    _changed(lambda m: m["layers"][0]["annotations"].update(more="x")),
    _changed(lambda m: m["config"].update(digest=EMPTY)),
    _changed(lambda m: m.update(annotations={"a": "b"})),
    _changed(lambda m: m.update(subject=m["config"])),
    _changed(lambda m: m.update(artifactType="application/vnd.other")),
    _changed(lambda m: m.update(schemaVersion=3)),
    " " * (MANIFEST_BYTES_LIMIT + 1),
    None, b"{}", 7,
]  # fmt: skip


@pytest.mark.parametrize("text", OTHER_TEXTS, ids=range(len(OTHER_TEXTS)))
def test_any_other_text_is_no_manifest(text: object) -> None:
    with pytest.raises(Invalid):
        Manifest.parse(text)  # type: ignore[arg-type]


@given(at=st.integers(0, len(GOLDEN[1]["manifest"]) - 1), char=st.characters())
def test_a_manifest_with_any_character_changed_is_another_one_or_none(at: int, char: str) -> None:
    text = GOLDEN[1]["manifest"]
    changed = text[:at] + char + text[at + 1 :]
    assume(changed != text)

    try:
        found = Manifest.parse(changed)
    except Invalid:
        return

    assert found.text == changed
    assert found.digest != GOLDEN[1]["digest"]


def test_the_example_of_the_page_is_a_manifest() -> None:
    page = Path("docs/artifacts.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```json\n(.*?)^```", page, re.DOTALL | re.MULTILINE)

    manifest = Manifest.parse(canonical(json.loads(shown[0])))

    assert [file.path for file in manifest.files] == ["labels.txt", "model.safetensors"]
    assert json.loads(shown[1]) == json.loads(manifest.config)
    assert manifest.digest in page
    for limit in (FILES_LIMIT, PATH_BYTES_LIMIT, SEGMENT_BYTES_LIMIT, MANIFEST_BYTES_LIMIT):
        assert f"{limit:,}" in page
    for media_type in set(artifacts._KINDS.values()):
        assert f"`application/vnd.cncf.model.{media_type}.v1.raw`" in page
