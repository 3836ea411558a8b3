"""Names, keys and texts: their limits, and what may not be mistaken for something else."""

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.core import names
from herdbook.core.refs import VersionRef
from herdbook.errors import Invalid


@pytest.mark.parametrize(
    "name",
    [
        "majora", "gnn", "a", "A1", "2b", "c++", "a_", "con-v", "search/ranker", "a/b/c",
        "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2", "registers", "info-model",
        "a" * names.MODEL_NAME_LIMIT, "x/register", "x/info",
    ],
)  # fmt: skip
def test_a_name_is_kept_as_it_is(name: str) -> None:
    assert names.model_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "a ", " a", "a b", "-a", "a-", ".a", "a.", "..", "a/..", "../a", "/a", "a/",
        "a//b", "a\\b", "C:\\x", "a:b", "a@b", "a?b", "a#b", "a%2Fb", "a*", "<script>", "a'b",
        "{{7*7}}",
        "a\x00b", "a\nb", "a\x1b[0m", "a\u202eb", "a\u200bb", "\u0430pple", "caf\u00e9",
        "cafe\u0301", "\uff41", "con", "CON", "nul.txt", "a/Com1", "lpt9.bin",
        *sorted(names.WHOLE_ROUTE_WORDS), "versions", "a/versions", "a/aliases",
        "lineage/x",
        "a/restore",
        "a" * (names.MODEL_NAME_LIMIT + 1), "a\ud800",
    ],
)  # fmt: skip
def test_a_name_that_could_mislead_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        names.model_name(name)

    assert caught.value.field == "model"
    assert caught.value.message.isprintable()


@given(text=st.text(max_size=30))
def test_a_name_survives_every_normal_form_and_stays_one_segment_each(text: str) -> None:
    try:
        name = names.model_name(text)
    except Invalid:
        return

    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert unicodedata.normalize(form, name) == name
    assert name.isascii()
    assert all(part not in {"", ".", ".."} for part in name.split("/"))
    assert VersionRef.parse(f"{name}:v1").model == name


@pytest.mark.parametrize("alias", ["champion", "blue", "eu-west", "a", "v", "version", "a" * 64])
def test_an_alias_is_kept_as_it_is(alias: str) -> None:
    assert names.alias_name(alias) == alias


@pytest.mark.parametrize(
    "alias", ["", "Champion", "latest", "v1", "v2x", "1", "a b", "a:b", "é", "a" * 65, "-a", "a-"]
)
def test_an_alias_that_means_something_else_is_refused(alias: str) -> None:
    with pytest.raises(Invalid):
        names.alias_name(alias)


def test_limits_hold_at_the_limit_and_one_over() -> None:
    for check, limit in (
        (lambda text: names.key(text, field="tags"), names.KEY_LIMIT),
        (lambda text: names.line(text, field="x"), names.LINE_LIMIT),
        (lambda text: names.prose(text, field="x"), names.TEXT_LIMIT),
        (lambda text: names.tags({"k": text}), names.TAG_VALUE_LIMIT),
        (names.role_name, names.ALIAS_LIMIT),
    ):
        check("a" * limit)
        with pytest.raises(Invalid, match=f"limit is {limit:,}"):
            check("a" * (limit + 1))
    names.tags([f"t{n}" for n in range(names.TAG_COUNT_LIMIT)])
    with pytest.raises(Invalid):
        names.tags([f"t{n}" for n in range(names.TAG_COUNT_LIMIT + 1)])


def test_metadata_holds_at_most_so_much() -> None:
    room = names.METADATA_BYTES_LIMIT - len('{"k": ""}')
    names.metadata({"k": "a" * room})
    with pytest.raises(Invalid, match="65,536"):
        names.metadata({"k": "a" * (room + 1)})


def test_metadata_nests_at_most_so_deep() -> None:
    value: Any = {}
    for _ in range(names.METADATA_DEPTH_LIMIT):
        value = {"k": value}
    names.metadata(value)
    with pytest.raises(Invalid, match="levels deep"):
        names.metadata({"k": value})
    for _ in range(100_000):
        value = [value]
    with pytest.raises(Invalid, match="levels deep"):
        names.metadata({"k": value})


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**63, 10**400, b"x", object(), "\ud800", "\x00", {1: 2}]
)
def test_what_json_cannot_hold_is_no_metadata(value: object) -> None:
    with pytest.raises(Invalid):
        names.metadata({"k": value})


def test_prose_may_be_anything_that_can_be_stored() -> None:
    assert names.prose("<script>\u202e\n\x1b[0m🐂", field="notes")
    with pytest.raises(Invalid):
        names.line("a\u202eb", field="owner")
