"""What every database promises of searches: the answers of a plain filter over all versions."""

import operator
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from herdbook.core import filters, search
from herdbook.core.artifacts import Artifact, digest_of
from herdbook.core.filters import And, Comparison, Expr, Kind, Not, Op, Or, OrderKey, Query
from herdbook.core.models import Model, Status, Training, Version
from herdbook.core.numbers import Number
from herdbook.core.pages import Page
from herdbook.errors import InvalidFilter
from herdbook.services import artifacts, deployments, evaluations, models, versions
from herdbook.services.models import About
from herdbook.services.versions import Draft
from tests.registers import NOON, Register

MODELS = ("gnn", "majora", "search/Ranker")
WORDS = ("oracle", "Oracle", "a%b", "a_b", "axb", "é", "É", "", "zz\\z", "🐂")
KEYS = ("team", "my key")
METRICS = ("accuracy", "recall@10")
NUMBERS = ("v1", "v2", "1.10.0", "1.9.0", "2.0.0-rc.1", "2.0.0-rc.2")
FLOATS = (0.0, 0.5, -1.5, 1e300, 1e-9, 3.0)
WHOLES = (0, 1, 7, 2**31, 2**40, 2**53 - 1)

words = st.sampled_from(WORDS)
lines = st.sampled_from([w for w in WORDS if w])
drafts = st.builds(
    Draft,
    description=words,
    tags=st.dictionaries(st.sampled_from(KEYS), words, max_size=2),
    training=st.builds(
        Training,
        framework=words,
        base_model=words,
        hardware=words,
        samples=st.none() | st.sampled_from(WHOLES),
        batch_size=st.none() | st.sampled_from(WHOLES[1:]),
        epochs=st.none() | st.sampled_from([0.0, 0.5, 3.0]),
        learning_rate=st.none() | st.sampled_from([1e-9, 0.5]),
        cost_usd=st.none() | st.sampled_from([0.0, 0.5, 3.0]),
    ),
    training_data=st.lists(lines, unique=True, max_size=2).map(tuple),
    git_commit=st.sampled_from(["", "abc1234", "def5678"]),
    metrics=st.dictionaries(st.sampled_from(METRICS), st.sampled_from(FLOATS), max_size=2),
    status=st.sampled_from([Status.DRAFT, Status.DEVELOPMENT, Status.STAGING]),
)
entries = st.lists(
    st.tuples(st.sampled_from(MODELS), drafts, st.sampled_from(["", "champion", "blue", "gone"])),
    min_size=4,
    max_size=8,
)

_RANKED = (Op.LT, Op.LE, Op.GT, Op.GE, Op.EQ, Op.NE)
_LIKES = (Op.LIKE, Op.NOT_LIKE, Op.ILIKE, Op.NOT_ILIKE)
_PATTERNS = ("%", "_", "a%", "A\\_b", "a\\%b", "%R%", "é", "É", "zz\\\\%", "_racle", "")
_VALUES: dict[Kind, Sequence[Any]] = {
    Kind.TEXT: WORDS + MODELS + ("champion", "abc1234"),
    Kind.NUMBER: FLOATS,
    Kind.INTEGER: (*WHOLES, -(2**63), 2**63 - 1),
    Kind.TIME: [NOON + timedelta(seconds=s) for s in (-1, 0, 2, 5, 10)],
    Kind.CHOICE: tuple(str(s) for s in Status),
    Kind.NUMBER_ORDER: NUMBERS,
}


def names_of(fields: dict[str, filters.Field]) -> list[tuple[str, str, filters.Field]]:
    """Every field that can be asked for, those with keys under each key."""
    found = []
    for name, field in fields.items():
        if not name.endswith(".*"):
            found.append((name, "", field))
        else:
            keys = METRICS if name == "metrics.*" else KEYS
            found += [(name.removesuffix(".*"), key, field) for key in keys]
    return found


@st.composite
def comparisons(draw: st.DrawFn, fields: dict[str, filters.Field]) -> Comparison:
    """One field against one value of its kind."""
    name, key, field = draw(st.sampled_from(names_of(fields)))
    values = st.sampled_from(_VALUES[field.kind])
    kinds = {Kind.TEXT: (*_RANKED, *_LIKES), Kind.CHOICE: (Op.EQ, Op.NE)}
    common = (Op.IN, Op.NOT_IN, Op.IS_NULL, Op.IS_NOT_NULL)
    op = draw(st.sampled_from((*kinds.get(field.kind, _RANKED), *common)))
    if op in {Op.IS_NULL, Op.IS_NOT_NULL}:
        return Comparison(name, key, op, None)
    if op in {Op.IN, Op.NOT_IN}:
        return Comparison(name, key, op, tuple(draw(st.lists(values, min_size=1, max_size=3))))
    return Comparison(name, key, op, draw(st.sampled_from(_PATTERNS) if op in _LIKES else values))


def queries(fields: dict[str, filters.Field]) -> st.SearchStrategy[Query]:
    """Any query of the grammar over these fields."""
    where = st.recursive(
        comparisons(fields),
        lambda inner: st.one_of(
            st.builds(Not, inner),
            st.builds(And, st.lists(inner, min_size=2, max_size=3).map(tuple)),
            st.builds(Or, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        ),
        max_leaves=5,
    )
    single = [(n, k) for n, k, _ in names_of(fields) if n not in {"alias", "dataset", "manifest"}]
    key = st.builds(
        lambda name, down: OrderKey(name[0], name[1], descending=down),
        st.sampled_from(single),
        st.booleans(),
    )
    # Most queries are one comparison in the order of registration, for those tell most.
    one = st.builds(Query, comparisons(fields), st.just(()))
    any_ = st.builds(Query, st.none() | where, st.lists(key, max_size=3).map(tuple))
    return one | any_


def held(thing: Any, field: str, key: str) -> list[Any]:  # noqa: C901, PLR0912 - one answer a field
    """The values something has for a field: none, one, or several."""
    subject, model = thing if isinstance(thing, tuple) else (thing, thing)
    one: Any
    match field:
        case "alias":
            return list(subject.aliases)
        case "dataset":
            return list(subject.facts.datasets)
        case "tags" | "metrics":
            one = getattr(subject, field).get(key)
        case "model_tags":
            one = model.tags.get(key)
        case "type" | "owner":
            return [getattr(model, field)]
        case "git_commit" | "manifest":
            one = getattr(subject.facts, field) or None
        case "number":
            one = Number(subject.number)
        case _ if field.startswith("training."):
            one = getattr(subject.facts.training, field.removeprefix("training."))
            one = None if one == "" else one
        case _:
            one = getattr(subject, field)
    return [] if one is None else [one]


def fits(value: str, pattern: str, flags: int) -> bool:
    """Whether a text fits a pattern, written without the database's."""
    parts = re.findall(r"\\(.)|(.)", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    text = "".join(re.escape(e) if e else wild.get(c, re.escape(c)) for e, c in parts)
    return re.fullmatch(text, value, re.DOTALL | flags) is not None


_TESTS: dict[Op, Callable[[Any, Any], bool]] = {
    Op.EQ: operator.eq,
    Op.NE: operator.ne,
    Op.LT: operator.lt,
    Op.LE: operator.le,
    Op.GT: operator.gt,
    Op.GE: operator.ge,
    Op.IN: lambda value, among: value in among,
    Op.NOT_IN: lambda value, among: value not in among,
    Op.LIKE: lambda value, pattern: fits(value, pattern, 0),
    Op.NOT_LIKE: lambda value, pattern: not fits(value, pattern, 0),
    Op.ILIKE: lambda value, pattern: fits(value, pattern, re.IGNORECASE | re.ASCII),
    Op.NOT_ILIKE: lambda value, pattern: not fits(value, pattern, re.IGNORECASE | re.ASCII),
}


def holds(expr: Expr | None, thing: Any) -> bool:  # noqa: PLR0911 - one answer a kind
    """Whether an expression holds; two-valued, what has no value matches no comparison."""
    match expr:
        case None:
            return True
        case And(parts):
            return all(holds(part, thing) for part in parts)
        case Or(parts):
            return any(holds(part, thing) for part in parts)
        case Not(part):
            return not holds(part, thing)
    values = held(thing, expr.field, expr.key)
    if expr.op in {Op.IS_NULL, Op.IS_NOT_NULL}:
        return bool(values) is (expr.op is Op.IS_NOT_NULL)
    wanted: Any = expr.value
    if expr.field == "number":
        wanted = [Number(n) for n in wanted] if isinstance(wanted, tuple) else Number(wanted)
    return any(_TESTS[expr.op](value, wanted) for value in values)


def ordered(
    things: list[Any], query: Query, last: Callable[[Any], Any], *, down: bool
) -> list[Any]:
    """The things a query finds, in its order."""
    found = [thing for thing in things if holds(query.where, thing)]
    found = [t for t in found if all(held(t, key.field, key.key) for key in query.order)]
    found.sort(key=last, reverse=query.order[-1].descending if query.order else down)
    for key in reversed(query.order):
        found.sort(key=lambda t, k=key: held(t, k.field, k.key)[0], reverse=key.descending)  # type: ignore[misc]
    return found


def whole(ask: Callable[[str | None], Page[Any]]) -> list[Any]:
    """All pages of a question, one after the other."""
    found: list[Any] = []
    page = ask(None)
    while True:
        found += page.items
        if page.next is None:
            return found
        page = ask(page.next)


def fill(work: Any, given: list[tuple[str, Draft, str]]) -> tuple[list[Version], list[Model]]:
    """Register versions, point aliases; give all versions in order and all models."""
    for at, (model, draft, alias) in enumerate(given):
        made = versions.register(work, model, draft=draft)
        if alias and made.sealed:
            name = "blue" if alias == "gone" else alias
            deployments.promote(work, made.ref, alias=name)
            if alias == "gone":
                deployments.remove(work, model, name)
        if at % 2:
            models.update(work, model, about=About(tags=draft.tags, type="gnn", owner="oracle"))
    refs = list(dict.fromkeys(m for m, _, _ in given))
    known = [models.get(work, name) for name in refs]
    count: dict[str, int] = {}
    made_refs = []
    for model, _, _ in given:
        count[model] = count.get(model, 0) + 1
        made_refs.append(f"{model}:v{count[model]}")
    return [versions.get(work, ref) for ref in made_refs], known


@settings(max_examples=30)
@given(
    given_=entries,
    asked=st.lists(queries(search.VERSION_FIELDS), min_size=6, max_size=12),
    size=st.integers(1, 4),
)
def test_a_search_over_versions_finds_what_a_plain_filter_finds(
    register: Register, given_: list[tuple[str, Draft, str]], asked: list[Query], size: int
) -> None:
    with register.tried() as work:
        made, known = fill(work, given_)
        by_name = {model.name: model for model in known}
        things = [(version, by_name[version.model]) for version in made]
        places = {version.ref: at for at, version in enumerate(made)}

        for query in asked:
            found = whole(lambda p, q=query: work.versions.page(q, model=None, size=size, page=p))  # type: ignore[misc]

            wanted = ordered(things, query, lambda t: places[t[0].ref], down=True)
            assert [v.ref for v in found] == [v.ref for v, _ in wanted], filters.render(query)
            assert found == [v for v, _ in wanted]


@settings(max_examples=30)
@given(
    given_=entries,
    asked=st.lists(queries(search.MODEL_FIELDS), min_size=6, max_size=12),
    size=st.integers(1, 2),
)
def test_a_search_over_models_finds_what_a_plain_filter_finds(
    register: Register, given_: list[tuple[str, Draft, str]], asked: list[Query], size: int
) -> None:
    with register.tried() as work:
        _, known = fill(work, given_)

        for query in asked:
            found = whole(lambda p, q=query: work.models.page(q, size=size, page=p))  # type: ignore[misc]

            assert found == ordered(known, query, lambda m: m.name, down=False), query


@pytest.fixture
def filled(register: Register) -> Register:
    """A register with ten versions of two models."""
    for at in range(10):
        metrics = {"accuracy": round(0.9 - (at % 3) / 10, 1)} if at % 4 else {}
        register.add(("majora", "gnn")[at % 2], metrics=metrics, tags={"team": f"t{at % 3}"})
    return register


def refs(register: Register, filter: str, **more: Any) -> list[str]:
    """The versions a filter finds."""
    return [v.ref for v in register.read(versions.page, filter=filter, **more).items]


def test_versions_with_bytes_are_found_by_their_manifest(register: Register) -> None:
    one = Artifact(path="labels.json", size=2, digest=digest_of(b"{}"), role="labels")
    register.write(artifacts.stored, sizes={one.digest: 2})
    held = register.add("majora:v1", artifacts=(one,)).facts.manifest
    register.add("majora:v2")
    register.add("gnn:v1", artifacts=(one,))

    assert refs(register, "manifest IS NOT NULL") == ["gnn:v1", "majora:v1"]
    assert refs(register, "manifest IS NULL") == ["majora:v2"]
    assert refs(register, f"manifest = '{held}'", model="majora") == ["majora:v1"]
    assert refs(register, f"manifest != '{held}'") == []


@pytest.mark.parametrize("field", ["alias", "dataset", "manifest"])
def test_what_there_may_be_several_of_is_nothing_to_order_by(filled: Register, field: str) -> None:
    with pytest.raises(InvalidFilter, match="several"):
        filled.read(versions.page, filter=f"ORDER BY {field}")


def test_not_another_value_means_there_is_one_and_it_differs(register: Register) -> None:
    register.add("majora:v1", tags={"team": "search"})
    register.add("majora:v2", tags={"team": "ads"})
    register.add("majora:v3")

    assert refs(register, "tags.team != 'search'") == ["majora:v2"]
    assert refs(register, "NOT tags.team = 'search'") == ["majora:v3", "majora:v2"]
    assert refs(register, "tags.team NOT IN ('ads')") == ["majora:v1"]
    assert refs(register, "tags.team NOT LIKE 's%'") == ["majora:v2"]
    assert refs(register, "tags.team IS NULL") == ["majora:v3"]


def test_a_score_replaced_is_found_by_its_newest_value_alone(register: Register) -> None:
    register.add("majora:v1", metrics={"accuracy": 0.5})
    register.write(evaluations.score, "majora:v1", metrics={"acc": 0.9})

    assert refs(register, "metrics.accuracy = 0.9") == ["majora:v1"]
    assert refs(register, "metrics.accuracy < 0.9") == []
    assert refs(register, "ORDER BY metrics.accuracy") == ["majora:v1"]


def test_numbers_compare_by_value(register: Register) -> None:
    for number in ("v1", "1.9.0", "1.10.0", "2.0.0-rc.1", "2.0.0"):
        register.add(f"majora:{number}")

    assert refs(register, "number > '1.9' ORDER BY number") == [
        "majora:1.10.0",
        "majora:2.0.0-rc.1",
        "majora:2.0.0",
    ]
    assert refs(register, "number = '1.0.0'") == ["majora:v1"]


@pytest.mark.parametrize("text", ["9223372036854775807", "-9223372036854775808", "3000000000"])
def test_whole_numbers_of_64_bits_compare_with_any_field(filled: Register, text: str) -> None:
    wanted = 0 if text.startswith("-") else 10

    assert len(refs(filled, f"ordinal < {text}")) == wanted
    assert len(refs(filled, f"ordinal IN ({text}, 1)")) == 2
    assert filled.read(models.page, filter=f"versions = {text}").items == ()
