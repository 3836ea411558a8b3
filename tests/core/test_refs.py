"""References: where a model is, read and written in one way."""

import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from herdbook.core import places
from herdbook.core.refs import HERDBOOK, PLACE_LIMIT, ModelRef, VersionRef, model_ref
from herdbook.errors import Invalid

SCHEMES = tuple(places.EXAMPLES)
# What the parts of references are made of, and what has led programs astray in them.
PIECES = (
    *("majora", "v2", "champion", "latest", "a", "A", "deepset", "gbert-base", "bucket"),
    *(":", "@", "/", "//", ".", "..", "-", "--", "_", "~", "\\", "%2F", "%", "?", "#", ";", "*"),
    *(" ", "\n", "\x00", "\u202e", "\u00a0", "é", "e\u0301", "🐂", "\ud800", "refs/pr/1", ".git"),
    *(f"{scheme}:" for scheme in SCHEMES),
    *("file:", "http://", "10.0.0.1", "HF:", "0", "1.2.0"),
)
texts = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=8).map("".join),
    st.tuples(
        st.sampled_from([*(f"{s}:" for s in SCHEMES), "s3://", "gs://", "az://", "s3://bucket/"]),
        st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
    ).map("".join),
)


@pytest.mark.parametrize(
    ("text", "printed", "parts"),
    [
        ("herdbook:majora@champion", "", {"version": VersionRef("majora", alias="champion")}),
        ("herdbook:majora:v2", "", {"version": VersionRef("majora", number="v2")}),
        ("majora", "herdbook:majora@champion", {}),
        ("majora@latest", "herdbook:majora@latest", {}),
        ("majora:v2", "herdbook:majora:v2", {}),
        ("search/ranker:1.2.0", "herdbook:search/ranker:1.2.0", {}),
        ("herdbook:hf:v2", "", {"version": VersionRef("hf", number="v2")}),
        ("herdbook:herdbook:v2", "", {"version": VersionRef("herdbook", number="v2")}),
        ("local:artifacts/model-v1", "", {"path": "artifacts/model-v1"}),
        ("local:/srv/models/model-v1", "", {"path": "/srv/models/model-v1"}),
        ("local:../model-v1", "", {"path": "../model-v1"}),
        ("local:./artifacts//model-v1/", "local:artifacts/model-v1", {}),
        ("local:.", "", {"path": "."}),
        ("local:./~x", "", {"path": "./~x"}),
        ("local:C:\\models\\v1", "", {"path": "C:\\models\\v1"}),
        ("local:a%20b", "", {"path": "a%20b"}),
        ("hf:deepset/gbert-base", "", {"repo": "deepset/gbert-base", "revision": ""}),
        ("hf:my-org/private@v1.0.0", "", {"repo": "my-org/private", "revision": "v1.0.0"}),
        ("hf:gpt2@refs/pr/1", "", {"repo": "gpt2", "revision": "refs/pr/1"}),
        ("hf:v2", "", {"repo": "v2"}),
        ("s3://bucket/models/x", "", {"bucket": "bucket", "path": "models/x"}),
        ("gs://my_bucket.example/models/x", "", {"bucket": "my_bucket.example"}),
        ("az://container/models/x/", "az://container/models/x", {"bucket": "container"}),
        ("s3://bucket/a@b/c:d", "", {"path": "a@b/c:d"}),
    ],
)
def test_a_reference_is_read_into_its_parts(
    text: str, printed: str, parts: dict[str, object]
) -> None:
    ref = ModelRef.parse(text)

    assert str(ref) == (printed or text)
    assert {name: getattr(ref, name) for name in parts} == parts
    assert model_ref(ref) is ref


@given(text=texts)
@example("local:./\\\\host/share")
@example("local:.//~/x")
@example("local:./ x")
@example("local://./x")
@example("herdbook:herdbook@champion")
def test_what_is_read_is_written_and_read_again_and_all_else_is_invalid(text: str) -> None:
    try:
        ref = ModelRef.parse(text)
    except Invalid:
        return

    assert ModelRef.parse(str(ref)) == ref
    assert str(ModelRef.parse(str(ref))) == str(ref)
    assert str(ref).startswith(f"{ref.scheme}:")
    assert ModelRef(**{f.name: getattr(ref, f.name) for f in dataclasses.fields(ref)}) == ref


@given(text=texts)
def test_a_version_is_read_and_written_alike(text: str) -> None:
    try:
        ref = VersionRef.parse(text)
    except Invalid:
        return

    assert VersionRef.parse(str(ref)) == ref
    assert ModelRef.parse(f"herdbook:{str(ref).removeprefix('herdbook:')}").version == ref


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_example_of_every_scheme_works(scheme: str) -> None:
    ref = ModelRef.parse(places.EXAMPLES[scheme])

    assert (ref.scheme, str(ref)) == (scheme, places.EXAMPLES[scheme])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # no scheme that there is, with the one that was meant
        ("file:///etc", "scheme 'file' .* local:artifacts/model-v1"),
        ("FILE:/etc", "scheme 'FILE' .* local:"),
        ("file://localhost/etc", "scheme 'file'"),
        ("http://169.254.169.254/", "scheme 'http'"),
        ("ftp://majora/x", "scheme 'ftp'"),
        ("gopher://majora/x", "scheme 'gopher'"),
        ("dbfs:/x", "scheme 'dbfs'"),
        ("jar:file:/x", "scheme 'jar'"),
        ("gcs://bucket/x", "scheme 'gcs' .* gs://bucket"),
        ("models:/majora@champion", "scheme 'models' .* herdbook:majora@champion"),
        ("HF:deepset/gbert-base", "scheme 'HF' .* hf:deepset"),
        ("S3://bucket/x", "scheme 'S3' .* s3://bucket"),
        ("C:\\models\\v1", "scheme 'C'"),
        ("./artifacts", "local: the scheme is missing"),
        ("/srv/models", "local: the scheme is missing"),
        ("\\\\host\\share", "local: the scheme is missing"),
        # herdbook
        ("majora:", "herdbook: the version .* names no version"),
        ("majora@", "herdbook: the version .* names no version"),
        ("majora@Champion", "herdbook: the version .* not an alias"),
        ("majora:two", "herdbook: the version .* not a version number"),
        ("herdbook://majora", "herdbook: the version .* not a model name"),
        ("herdbook:../majora", "herdbook: the version .* not a model name"),
        ("herdbook:maj%6Fra", "herdbook: the version .* not a model name"),
        (" majora", "herdbook: the version .* white space"),
        # local
        ("local:", "local: the folder is missing"),
        ("local:a\x00b", "local: the folder holds a NUL"),
        ("local:a\u202eb", r"local: the folder holds U\+202E"),
        ("local:artifacts/model-v1\n", "local: the folder must not .* end with white space"),
        ("local://artifacts/model-v1", "local: the folder begins with //"),
        ("local:\\\\host\\share", "local: the folder begins with //"),
        ("local:~/models", "local: the folder begins with ~"),
        # hf
        ("hf:", "hf: the repository is missing"),
        ("hf://deepset/gbert-base", "hf: the repository .* has 4 parts"),
        ("hf:deepset/gbert-base/model", "hf: the repository .* has 3 parts"),
        ("hf:deepset/", "hf: the repository .*'' is not"),
        ("hf:../gbert-base", "hf: the repository .*'..' is not"),
        ("hf:a--b/c", "hf: the repository .*'a--b' is not"),
        ("hf:a/b..c", "hf: the repository .*'b..c' is not"),
        ("hf:-a/b", "hf: the repository .*'-a' is not"),
        ("hf:a/b.", "hf: the repository .*'b.' is not"),
        ("hf:a/b.git", "hf: the repository .*'b.git' is not"),
        ("hf:deepset%2Fgbert", "hf: the repository .* is not"),
        ("hf:ä/b", "hf: the repository .*'ä' is not"),
        ("hf:a/b@", "hf: the revision is missing after @"),
        ("hf:a/b@main@x", "hf: the revision .* not a branch, tag or commit"),
        ("hf:a/b@../main", "hf: the revision"),
        ("hf:a/b@x..y", "hf: the revision"),
        ("hf:a/b@/main", "hf: the revision"),
        ("hf:a/b@x//y", "hf: the revision"),
        ("hf:a/b@-x", "hf: the revision"),
        ("hf:a/b@x.lock", "hf: the revision"),
        ("hf:a/b@x.", "hf: the revision"),
        ("hf:a/b@x/.y", "hf: the revision"),
        ("hf:a/b@refs%2Fpr%2F1", "hf: the revision"),
        ("hf:a/b@v1 ", "hf: the revision must not .* end with white space"),
        # buckets
        ("s3:bucket/models", "s3: the bucket must stand after //"),
        ("s3:///models", "s3: the bucket '' must be 3 to 63"),
        ("s3://bucket", "s3: the path is missing"),
        ("gs://bucket/", "gs: the path is missing"),
        ("s3://Bucket/x", "s3: the bucket 'Bucket'"),
        ("s3://my_bucket/x", "s3: the bucket 'my_bucket'"),
        ("s3://a..b/x", "s3: the bucket"),
        ("s3://ab/x", "s3: the bucket"),
        ("s3://192.168.0.1/x", "s3: the bucket .* no IP address"),
        ("az://con.tainer/x", "az: the bucket"),
        ("az://a--b/x", "az: the bucket"),
        ("az://$root/x", "az: the bucket"),
        ("s3://other/..", "s3: the path '..' has the part '..'"),
        ("s3://bucket/a/../b", "s3: the path .* has the part '..'"),
        ("gs://bucket/./b", "gs: the path .* has the part '.'"),
        ("gs://bucket//b", "gs: the path .* has the part ''"),
        ("az://bucket/b//", "az: the path .* has the part ''"),
        ("s3://bucket/a%2e%2e/b", "s3: the path .* holds %"),
        ("s3://bucket/a?versionId=1", r"s3: the path .* holds \?"),
        ("s3://bucket/a#b", "s3: the path .* holds #"),
        ("s3://bucket/a\\..\\b", r"s3: the path .* holds \\"),
        ("s3://bucket/a\tb", r"s3: the path .* U\+0009"),
    ],
)  # fmt: skip
def test_a_mistake_names_the_scheme_the_part_and_what_works(text: str, said: str) -> None:
    with pytest.raises(Invalid, match=said) as caught:
        ModelRef.parse(text)

    assert caught.value.field == "ref"
    assert caught.value.message.isprintable()
    works = caught.value.message.partition("this works: ")[2]
    assert str(ModelRef.parse(works)) == works


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIA:hunter2@bucket/x", "s3://user:hunter2/part@bucket/x",
        "https://me:hunter2@host/x", "gcs://me:hunter2@bucket/x",
    ],
)  # fmt: skip
def test_a_secret_in_an_address_is_not_repeated(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        ModelRef.parse(text)

    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize(
    ("form", "limit"),
    [
        ("local:{}", places.FOLDER_LIMIT),
        ("hf:{}", places.HUB_NAME_LIMIT),
        ("hf:{}/b", places.HUB_NAME_LIMIT),
        ("hf:a/b@{}", places.REVISION_LIMIT),
        ("s3://{}/x", 63),
        ("gs://{}/x", 222),
        ("az://{}/x", 63),
        ("s3://bucket/{}", places.KEY_BYTES_LIMIT),
        ("majora-{}", 193),
    ],
)
def test_limits_of_places_hold_at_the_limit_and_one_over(form: str, limit: int) -> None:
    assert "a" * limit in str(ModelRef.parse(form.format("a" * limit)))
    with pytest.raises(Invalid):
        ModelRef.parse(form.format("a" * (limit + 1)))


def test_a_key_is_measured_in_bytes() -> None:
    full = "s3://bucket/" + "é" * (places.KEY_BYTES_LIMIT // 2)
    assert str(ModelRef.parse(full)) == full
    with pytest.raises(Invalid, match="1,024 bytes"):
        ModelRef.parse(f"{full}é")


@pytest.mark.parametrize("text", ["", "a" * (PLACE_LIMIT + 1), None, b"majora", 7])
def test_what_is_no_text_of_some_length_is_no_reference(text: object) -> None:
    with pytest.raises(Invalid, match="2,100 characters"):
        ModelRef.parse(text)  # type: ignore[arg-type]


def test_a_value_has_the_parts_of_its_scheme_and_no_others() -> None:
    for wrong in (
        {"scheme": HERDBOOK},
        {"scheme": "local", "path": "x", "revision": "v1"},
        {"scheme": "hf", "repo": "a/b", "bucket": "bucket"},
        {"scheme": "s3", "bucket": "bucket"},
        {"scheme": "ftp", "path": "x"},
    ):
        with pytest.raises(Invalid):
            ModelRef(**wrong)  # type: ignore[arg-type]
