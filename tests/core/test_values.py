"""References, pages, the wire, events, roles, metrics, trees, back-off and comparisons."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herdbook.core import wire
from herdbook.core.access import Action, Actor, Grant, Role, grants
from herdbook.core.evaluations import STANDARD, SYNONYMS, Direction, direction, metric_name
from herdbook.core.events import GENESIS, Checkpoint, Event, event_hash, verify
from herdbook.core.lineage import Edge, Node, Pedigree, tree
from herdbook.core.models import (
    Facts,
    FileLocation,
    Model,
    Parent,
    ParentKind,
    Status,
    Training,
    Version,
)
from herdbook.core.pages import page_position, page_token
from herdbook.core.refs import VersionRef
from herdbook.core.summaries import compare
from herdbook.core.webhooks import ATTEMPT_LIMIT, back_off, webhook_url
from herdbook.errors import Forbidden, Invalid, NotFound

NOON = datetime(2026, 1, 14, 12, tzinfo=UTC)
storable = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
times = st.datetimes(timezones=st.just(UTC))
finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | finite | storable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(storable, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(storable, json_values, max_size=3)
facts = st.builds(
    Facts,
    training=st.builds(
        Training,
        samples=st.none() | st.integers(0, 2**53 - 1),
        epochs=st.none() | st.floats(0, 1e6),
        cost_usd=st.none() | st.floats(0, 1e6),
    ),
    files=st.just((FileLocation(role="lora", location="out/a"),)) | st.just(()),
    parents=st.just(()) | st.just((Parent(model="gnn", number="v1", kind=ParentKind.MERGE),)),
    datasets=st.lists(st.sampled_from(["oracle", "toolbench"]), unique=True).map(tuple),
    metadata=objects,
    git_commit=st.sampled_from(["", "abc1234"]),
    git_dirty=st.none() | st.booleans(),
)
some_versions = st.builds(
    Version,
    model=st.just("majora"),
    number=st.sampled_from(["v1", "1.0.0-rc.1"]),
    ordinal=st.integers(1, 10**6),
    status=st.sampled_from(Status),
    facts=facts,
    digest=st.just("0" * 64),
    description=storable,
    tags=st.dictionaries(storable, storable, max_size=3),
    metrics=st.dictionaries(storable, finite, max_size=3),
    aliases=st.just(("blue", "champion")),
    created_at=times,
    created_by=storable,
    updated_at=times,
)
some_models = st.builds(
    Model,
    name=st.just("search/ranker"),
    description=storable,
    metadata=objects,
    aliases=st.just({"champion": "v1"}),
    created_at=times,
    created_by=storable,
    updated_at=times,
)


# --- references ---


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("majora:v2", VersionRef("majora", number="v2")),
        ("majora@champion", VersionRef("majora", alias="champion")),
        ("majora", VersionRef("majora", alias="champion")),
        ("majora@latest", VersionRef("majora", alias="latest")),
        ("herdbook:a/b:1.0.0-rc.1", VersionRef("a/b", number="1.0.0-rc.1")),
    ],
)
def test_a_reference_is_read(text: str, wanted: VersionRef) -> None:
    assert VersionRef.parse(text) == wanted
    assert VersionRef.parse(str(wanted)) == wanted


@pytest.mark.parametrize(
    "text",
    ["", ":", "@", "majora:", "majora@", ":v1", "@champion", "majora:x", "majora@v1", "a@b@c",
     "a:b:v1", "x" * 401, "majora:v1@champion", "../x:v1", None, 7],
)  # fmt: skip
def test_what_is_no_reference_is_refused(text: Any) -> None:
    with pytest.raises(Invalid):
        VersionRef.parse(text)


# --- pages ---


@given(position=st.lists(st.integers(-(2**63), 2**63 - 1) | storable | finite, max_size=4))
def test_a_page_token_is_read_as_it_was_written(position: list[object]) -> None:
    token = page_token("shape", position)
    kinds = tuple(type(value) for value in position)

    assert page_position(token, shape="shape", kinds=kinds) == position
    with pytest.raises(Invalid):
        page_position(token, shape="other", kinds=kinds)
    with pytest.raises(Invalid):
        page_position(token, shape="shape", kinds=(*kinds, int))


@given(token=st.text(max_size=60))
def test_any_other_text_is_no_page(token: str) -> None:
    with pytest.raises(Invalid):
        page_position(token, shape="shape", kinds=(int,))


# --- the wire ---


@given(value=some_versions | some_models)
def test_a_value_comes_back_from_json_as_it_was(value: Version | Model) -> None:
    text = wire.dumps(value)

    assert wire.value(type(value), json.loads(text)) == value
    assert json.loads(wire.canonical(value)) == json.loads(text)


@given(value=some_versions, unknown=json_values)
def test_fields_of_a_newer_server_are_ignored(value: Version, unknown: object) -> None:
    data = json.loads(wire.dumps(value)) | {"from_the_future": unknown}

    assert wire.value(Version, data) == value


@given(data=json_values)
def test_what_has_another_shape_is_refused(data: object) -> None:
    with pytest.raises(Invalid):
        wire.value(Version, data)


# --- events ---


def a_log(bodies: list[dict[str, Any]]) -> list[Event]:
    """A chain of events with these bodies."""
    found: list[Event] = []
    for seq, body in enumerate(bodies, start=1):
        previous = found[-1].hash if found else GENESIS
        at = NOON + timedelta(seconds=seq)
        said = ("curator", "version.updated", "majora", "v1")
        text = wire.canonical(body)
        own = event_hash(seq, wire.time_text(at), *said, text, previous)
        found.append(
            Event(
                seq=seq,
                at=at,
                by=said[0],
                action=said[1],
                model=said[2],
                number=said[3],
                body=json.loads(text),
                previous=previous,
                hash=own,
            )
        )
    return found


@given(bodies=st.lists(objects, min_size=1, max_size=6), data=st.data())
def test_any_change_to_a_log_is_found_against_its_checkpoint(
    bodies: list[dict[str, Any]], data: st.DataObject
) -> None:
    log = a_log(bodies)
    kept = Checkpoint(log[-1].seq, log[-1].hash)
    assert verify(log, against=kept).ok
    at = data.draw(st.integers(0, len(log) - 1))
    how = data.draw(st.sampled_from(["by", "number", "body", "at", "drop", "cut", "swap"]))
    changed = list(log)
    match how:
        case "drop":
            del changed[at]
        case "cut":
            del changed[at:]
        case "swap":
            changed[at], changed[0] = changed[0], changed[at]
        case "body":
            changed[at] = replace(log[at], body={**log[at].body, "added": 1})
        case "at":
            changed[at] = replace(log[at], at=log[at].at + timedelta(microseconds=1))
        case _:
            changed[at] = replace(log[at], **{how: "x"})  # type: ignore[arg-type]

    assert verify(changed, against=kept).ok is (changed == log)


# --- roles ---


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("action", Action)
def test_each_role_may_what_the_ones_before_it_may(role: Role, action: Action) -> None:
    actor = Actor("ci", (Grant(role, "search/*"),))
    may = list(Role).index(role) >= action

    if may:
        actor.allow(action, "search/ranker")
    else:
        with pytest.raises(Forbidden):
            actor.allow(action, "search/ranker")
    with pytest.raises(NotFound):
        actor.allow(action, "ads/ctr")
    with pytest.raises(NotFound):
        actor.allow(action, "search")
    with pytest.raises(Forbidden):
        actor.allow(action)


@pytest.mark.parametrize("text", ["", "owner", "viewer:*x", "viewer:a*b", "viewer:**", "viewer:/*"])
def test_what_is_no_grant_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        grants([text])


# --- metrics ---


def test_every_synonym_is_a_standard_name_with_a_direction() -> None:
    for spelling, standard in SYNONYMS.items():
        assert metric_name(spelling) == standard
        assert direction(standard) is not Direction.UNKNOWN
        assert spelling not in STANDARD


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("perplexity", Direction.LOWER),
        ("ndcg@10", Direction.HIGHER),
        ("latency@p99", Direction.LOWER),
        ("Accuracy", Direction.UNKNOWN),
        ("accuracy@5", Direction.UNKNOWN),
    ],
)
def test_a_metric_has_the_direction_of_its_family(name: str, way: Direction) -> None:
    assert direction(name) is way


# --- trees ---


def family(steps: list[tuple[str, str]], *, kind: ParentKind = ParentKind.FINE_TUNE) -> Pedigree:
    """A pedigree of steps between references."""
    refs = dict.fromkeys(ref for step in steps for ref in step)
    return Pedigree(
        nodes=tuple(Node(ref=ref, status=Status.STAGING) for ref in refs),
        edges=tuple(Edge(parent=p, child=c, kind=kind) for p, c in steps),
    )


def test_a_merge_stands_under_its_first_parent_and_is_named_under_the_others() -> None:
    steps = [("majora:v1", "majora:v3"), ("gnn:v1", "majora:v3"), ("majora:v1", "majora:v2")]

    assert tree(family(steps, kind=ParentKind.MERGE), title="majora tree").splitlines() == [
        "majora tree",
        "├── v1 (staging)",
        "│   ├── v3 (merge, staging)",
        "│   └── v2 (merge, staging)",
        "└── gnn:v1 (staging)",
        "    └── v3 ↑",
    ]


def test_a_tree_of_fifty_thousand_generations_is_drawn() -> None:
    steps = [(f"majora:v{n}", f"majora:v{n + 1}") for n in range(1, 50_000)]

    drawn = tree(family(steps), title="majora tree").splitlines()

    assert len(drawn) == 50_001
    assert drawn[-1].endswith("└── v50000 (staging)")
    assert max(map(len, drawn)) < 450


def test_an_empty_pedigree_is_its_title() -> None:
    assert tree(Pedigree(nodes=()), title="majora tree") == "majora tree"


# --- webhooks ---


def test_waits_double_up_to_an_hour_and_end() -> None:
    waits = [back_off(n) for n in range(1, ATTEMPT_LIMIT + 2)]

    seconds = [wait.total_seconds() for wait in waits if wait]
    assert seconds[:4] == [2, 4, 8, 16]
    assert seconds == sorted(seconds)
    assert max(seconds) <= 3_600
    assert waits[-2:] == [None, None]


@pytest.mark.parametrize("url", ["https://hooks.example/x", "http://[::1]:8080", "https://a?b=c@d"])
def test_an_address_for_a_webhook(url: str) -> None:
    assert webhook_url(url) == url


@pytest.mark.parametrize(
    "url",
    ["", "https://", "https:///x", "http://?", "ftp://a/b", "file:///etc", "https://u:p@host/x",
     "https://u@host", "//host", "HTTP//x", "https://a\\@b", "https://:80/x", "https://a b/x"],
)  # fmt: skip
def test_what_is_no_address_for_a_webhook_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        webhook_url(url)


# --- comparisons ---


def a_version(number: str, **more: Any) -> Version:
    """A version of majora."""
    given_: dict[str, Any] = {"facts": Facts(), "metrics": {}, "tags": {}} | more
    return Version(
        model="majora",
        number=number,
        ordinal=1,
        status=Status.STAGING,
        digest="",
        created_at=NOON,
        created_by="curator",
        updated_at=NOON,
        **given_,
    )


def test_only_what_differs_is_compared_unless_everything_is_asked_for() -> None:
    one = a_version("v1", metrics={"accuracy": 0.5, "loss": 1.0}, facts=Facts(datasets=("oracle",)))
    two = a_version("v2", metrics={"accuracy": 0.9, "loss": 1.0}, facts=Facts(datasets=("oracle",)))

    (row,) = compare((one, two)).rows
    assert (row.name, row.values, row.best) == ("accuracy", (0.5, 0.9), "majora:v2")
    names = {(r.group, r.name) for r in compare((one, two), everything=True).rows}
    assert {("metrics", "loss"), ("datasets", "oracle"), ("about", "status")} <= names


def test_the_best_is_lowest_where_lower_is_better_and_nobody_where_two_are() -> None:
    some = [
        a_version(f"v{n}", metrics={"loss": loss}) for n, loss in ((1, 2.0), (2, 1.0), (3, 1.0))
    ]

    (row,) = compare(tuple(some)).rows
    assert row.best == ""
    (row,) = compare(tuple(some[:2])).rows
    assert row.best == "majora:v2"
    (row,) = compare((some[0], a_version("v4"))).rows
    assert row.values == (2.0, None)
