"""The filter language: what it reads, what it refuses, and how it says so."""

import re
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from herdbook.core.filters import (
    MAX_COMPARISONS,
    MAX_DEPTH,
    MAX_LIST,
    MAX_ORDER,
    MAX_STRING,
    MAX_TEXT,
    And,
    Comparison,
    Expr,
    Field,
    Kind,
    Not,
    Op,
    Or,
    OrderKey,
    Query,
    Value,
    parse,
    render,
)
from herdbook.errors import Invalid, InvalidFilter, UnknownField

PAGE = Path(__file__).parents[2] / "docs" / "filters.md"


def _version(text: str) -> str:
    if not re.fullmatch(r"v?\d+(\.\d+){0,2}", text, re.ASCII):
        message = f"'{text}' is no version number; write one like v1.2.0"
        raise Invalid(message)
    return "v" + text.removeprefix("v")


FIELDS = {
    "model": Field(Kind.TEXT),
    "type": Field(Kind.TEXT),
    "owner": Field(Kind.TEXT),
    "description": Field(Kind.TEXT),
    "number": Field(Kind.NUMBER_ORDER, check=_version),
    "status": Field(Kind.CHOICE, choices=("draft", "ready", "archived")),
    "sealed": Field(Kind.BOOL),
    "created_at": Field(Kind.TIME),
    "updated_at": Field(Kind.TIME),
    "training.base_model": Field(Kind.TEXT),
    "training.samples": Field(Kind.INTEGER),
    "metrics.*": Field(Kind.NUMBER),
    "tags.*": Field(Kind.TEXT),
}


def where(text: str) -> Expr | None:
    """The expression of a filter over `FIELDS`."""
    return parse(text, FIELDS).where


def value(text: str) -> Value:
    """The value of a filter of one comparison."""
    found = where(text)
    assert isinstance(found, Comparison)
    return found.value


def refusal(text: str) -> InvalidFilter:
    """The error of a filter that cannot be read."""
    with pytest.raises(InvalidFilter) as caught:
        parse(text, FIELDS)
    return caught.value


def unknown(text: str) -> UnknownField:
    """The error of a filter that names a field there is not."""
    with pytest.raises(UnknownField) as caught:
        parse(text, FIELDS)
    return caught.value


def has(name: str, value: str = "x") -> Comparison:
    """What `tags.<name> = '<value>'` reads as."""
    return Comparison("tags", name, Op.EQ, value)


A, B, C = has("a"), has("b"), has("c")


def test_a_filter_has_conditions_and_an_order() -> None:
    text = "type = 'gnn' AND metrics.accuracy > 0.9 ORDER BY metrics.accuracy DESC, model"

    query = parse(text, FIELDS)

    assert query == Query(
        And(
            (
                Comparison("type", "", Op.EQ, "gnn"),
                Comparison("metrics", "accuracy", Op.GT, 0.9),
            )
        ),
        (
            OrderKey("metrics", "accuracy", descending=True),
            OrderKey("model", "", descending=False),
        ),
    )


@pytest.mark.parametrize("text", ["", " ", "\t\r\n"])
def test_an_empty_filter_is_everything(text: str) -> None:
    assert parse(text, FIELDS) == Query(None, ())


def test_a_filter_may_be_an_order_alone() -> None:
    query = parse("order by created_at asc, model desc", FIELDS)

    assert query.where is None
    assert [key.descending for key in query.order] == [False, True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NOT tags.a='x' AND tags.b='x' OR tags.c='x'", Or((And((Not(A), B)), C))),
        ("tags.a='x' OR tags.b='x' AND tags.c='x'", Or((A, And((B, C))))),
        ("(tags.a='x' OR tags.b='x') AND tags.c='x'", And((Or((A, B)), C))),
        ("NOT (tags.a='x' OR tags.b='x')", Not(Or((A, B)))),
        ("NOT NOT tags.a='x'", Not(Not(A))),
        ("tags.a='x' AND tags.b='x' AND tags.c='x'", And((A, B, C))),
        ("tags.a='x' AND (tags.b='x' AND tags.c='x')", And((A, And((B, C))))),
        ("((tags.a='x'))", A),
    ],
)
def test_not_binds_tighter_than_and_and_and_than_or(text: str, expected: Expr) -> None:
    assert where(text) == expected


@pytest.mark.parametrize("word", ["=", "==", "!=", "<>", "<", "<=", ">", ">="])
def test_each_sign_has_one_meaning(word: str) -> None:
    found = where(f"metrics.f1{word}1")

    meaning = {"==": "=", "<>": "!="}.get(word, word)
    assert found == Comparison("metrics", "f1", Op(meaning), 1.0)


@pytest.mark.parametrize(
    ("text", "op", "expected"),
    [
        ("type in ('gnn','oracle')", Op.IN, ("gnn", "oracle")),
        ("type Not\n In ('gnn')", Op.NOT_IN, ("gnn",)),
        ("type like 'para%'", Op.LIKE, "para%"),
        ("type not like 'a\\_%'", Op.NOT_LIKE, "a\\_%"),
        ("type ILike '%L12%'", Op.ILIKE, "%L12%"),
        ("type NOT ILIKE '\\\\'", Op.NOT_ILIKE, "\\\\"),
        ("type is null", Op.IS_NULL, None),
        ("type IS  NOT\tNULL", Op.IS_NOT_NULL, None),
    ],
)
def test_words_compare_too_in_capitals_or_not(text: str, op: Op, expected: Value) -> None:
    assert where(text) == Comparison("type", "", op, expected)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("metrics.val/rouge-l.2 > 0", "val/rouge-l.2"),
        ('metrics."recall@10" > 0', "recall@10"),
        ("metrics.`rouge-l f` > 0", "rouge-l f"),
        ('metrics."a ""b"" `c`" > 0', 'a "b" `c`'),
        ('metrics.`a ``b`` "c"` > 0', 'a `b` "c"'),
        ('metrics."accuracy" > 0', "accuracy"),
        ('metrics."*" > 0', "*"),
        ("metrics.and > 0", "and"),
    ],
)
def test_a_key_is_plain_or_quoted(text: str, key: str) -> None:
    assert where(text) == Comparison("metrics", key, Op.GT, 0.0)


@pytest.mark.parametrize("key", ["", ".x", "5-shot", '""', "``", "*", "/x"])
def test_any_other_key_is_refused(key: str) -> None:
    refusal(f"metrics.{key} > 0")


def test_an_exact_name_wins_over_a_prefix() -> None:
    fields = {"metrics.*": Field(Kind.NUMBER), "metrics.best": Field(Kind.BOOL)}

    query = parse('metrics.best = TRUE AND metrics."best" = TRUE', fields)

    assert query.where == And((Comparison("metrics.best", "", Op.EQ, True),) * 2)  # noqa: FBT003


@pytest.mark.parametrize(
    ("written", "read"),
    [("7", 7), ("-0.5", -0.5), ("+.5", 0.5), ("1.", 1), ("1e-3", 0.001), ("2E+2", 200)],
)
def test_a_number_is_read_as_a_float(written: str, read: float) -> None:
    found = value(f"metrics.f1 = {written}")

    assert found == read
    assert isinstance(found, float)


@pytest.mark.parametrize(
    "written",
    ["NaN", "inf", "-inf", "1e999", "-1e999", "9" * 400, "1e", "0x1", "1_0", "'1'", "٣"],
)
def test_what_is_no_finite_number_is_refused(written: str) -> None:
    refusal(f"metrics.f1 = {written}")


@pytest.mark.parametrize("written", [2**63 - 1, -(2**63), 0, "+7"])
def test_a_whole_number_has_64_bits(written: int | str) -> None:
    assert value(f"training.samples = {written}") == int(written)


@pytest.mark.parametrize("written", [2**63, -(2**63) - 1, "1.5", "1.0", "1e3", "9" * 4000])
def test_what_is_no_whole_number_of_64_bits_is_refused(written: int | str) -> None:
    error = refusal(f"training.samples = {written}")

    assert "write training.samples = 7" in error.message


@pytest.mark.parametrize(
    "written",
    ["2026-01-14T10:00:00Z", "2026-01-14 10:00", "2026-01-14T12:00+02:00", "2026-01-14T10"],
)
def test_a_time_is_utc_unless_it_says_otherwise(written: str) -> None:
    found = value(f"created_at >= '{written}'")

    assert found == datetime(2026, 1, 14, 10, tzinfo=UTC)
    assert isinstance(found, datetime)
    assert found.tzinfo is UTC


def test_a_day_is_its_first_moment() -> None:
    assert value("created_at = '2026-01-14'") == datetime(2026, 1, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    ["yesterday", "", "2026-02-30", "14.01.2026", "0001-01-01T00:00:00+01:00", "1"],
)
def test_what_is_no_time_is_refused(written: str) -> None:
    assert "write created_at >" in refusal(f"created_at > '{written}'").message


def test_a_choice_is_out_of_its_set() -> None:
    assert value("status = 'ready'") == "ready"
    assert "one of draft, ready, archived" in refusal("status IN ('ready', 'Ready')").message


def test_choices_and_booleans_have_no_order_but_can_be_ordered_by() -> None:
    assert "it takes =, !=, IN" in refusal("status > 'draft'").message
    assert "it takes =, !=, IN" in refusal("sealed < TRUE").message
    assert len(parse("ORDER BY status, sealed", FIELDS).order) == 2


def test_a_boolean_is_true_or_false() -> None:
    assert value("sealed = true") is True
    assert value("sealed IN (FALSE, TRUE)") == (False, True)
    refusal("sealed = 'true'")
    refusal("sealed = 1")


def test_a_check_normalises_a_value_or_says_what_is_wrong() -> None:
    assert value("number IN ('1.2', 'v3')") == ("v1.2", "v3")
    assert refusal("number = 'latest'").message == (
        "column 10: number: 'latest' is no version number; write one like v1.2.0"
    )


@pytest.mark.parametrize("text", ["metrics.f1 LIKE '1%'", "number LIKE 'v1%'", "status LIKE 'r%'"])
def test_patterns_are_for_text_alone(text: str) -> None:
    assert "it takes" in refusal(text).message


def test_a_pattern_does_not_end_in_a_lone_backslash() -> None:
    assert value(r"type LIKE 'a\\'") == r"a\\"
    refusal(r"type LIKE 'a\'")
    refusal(r"type LIKE 'a\\\'")


def test_a_quote_in_text_is_written_twice() -> None:
    assert value("type = 'it''s'") == "it's"
    assert value("type = ''''") == "'"
    assert value("type = ''") == ""


def test_keywords_and_signs_in_text_are_text() -> None:
    assert value("type = 'OR'") == "OR"
    assert value("type IN (',', ')', 'NULL')") == (",", ")", "NULL")
    assert value("type = 'DROP TABLE x; --’'") == "DROP TABLE x; --’"  # noqa: RUF001


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        (
            "metrics.accuracy > 'high'",
            20,
            "is a number; write metrics.accuracy > 0.9, not 'high'",
        ),
        ("type = embedding", 8, "type is text; write type = 'oracle', not embedding"),
        ("type =", 7, "not the end"),
        ("type = NULL", 8, "write type IS NULL"),
        ("type IN ()", 10, "write type IN ('oracle'), not )"),
        ("type IN 'gnn'", 9, "found 'gnn'; expected a list in parentheses"),
        ("type IN ('a' 'b')", 14, "expected a comma or )"),
        ("type IS 3", 6, "found IS; expected an operator, as in type IS NULL"),
        ("type", 5, "found the end; expected an operator"),
        (
            "0.9 < metrics.f1",
            1,
            "found 0.9; expected a field, as in metrics.accuracy > 0.9",
        ),
        ("type = 'a' type = 'b'", 12, "found type; expected AND, OR, ORDER BY or the end"),
        ("type = 'a' AND", 15, "found the end; expected a field"),
        ("(type = 'a'", 12, "found the end; expected AND, OR or )"),
        ("type = 'a')", 11, "found ); expected AND, OR"),
        ("ORDER BY", 9, "expected a field, as in ORDER BY created_at DESC"),
        ("ORDER BY type DESC ASC", 20, "found ASC"),
        ("ORDER BY type type = 'a'", 15, "found type"),
        ("type = 'a", 8, "this quote is never closed"),
        ('type = "a"', 8, "text takes single quotes: 'oracle'"),
        ("metrics.recall@10 > 0", 15, 'metrics."recall@10"'),
        ("metrics.5-shot > 0", 1, 'metrics."5-shots"'),
        ("type = ‘gnn’", 8, "type a plain quote"),  # noqa: RUF001
        ("type\u00a0= 'gnn'", 5, "or space"),
        ("type = 'a\x00b'", 10, "the control character '\\x00'"),
        ("type = 'a\ud800b'", 10, "the control character '\\ud800'"),
        ("type = 'a' ; DROP TABLE versions", 12, "found ';'"),
        ("type = 'a' -- and more", 12, "found '-'"),
        ("type = 'a' /* b */", 12, "found '/'"),
        ("type\n=\n3", 8, "type is text"),
    ],
)
def test_a_refusal_names_the_place_and_what_would_do(text: str, column: int, said: str) -> None:
    error = refusal(text)

    assert error.message.startswith(f"column {column}: ")
    assert said in error.message
    assert error.details == {"column": column}


@pytest.mark.parametrize(
    ("text", "column", "nearest"),
    [
        ("metric.accuracy > 0.9", 1, "metrics.accuracy"),
        ('tag."my key" = 1', 1, 'tags."my key"'),
        ("type = 'a' AND statuz = 'b'", 16, "status"),
        ("ORDER BY training.sample", 10, "training.samples"),
        ("metrics = 1", 1, "metrics.<key>"),
        ("zebra = 1", 1, ""),
    ],
)
def test_an_unknown_field_is_answered_with_the_nearest(
    text: str, column: int, nearest: str
) -> None:
    error = unknown(text)

    assert error.details["column"] == column
    assert error.details["nearest"] == nearest
    assert ("did you mean" in error.message) == bool(nearest)
    assert error.message.endswith(
        "Fields: " + ", ".join(FIELDS).replace("*", "<key>"),
    )


def test_what_a_user_wrote_is_shown_short_and_on_one_line() -> None:
    assert len(refusal(f"metrics.f1 = '{'x' * 900}'").message) < 200
    assert "\n" not in refusal("metrics.f1 = 'a\nb'").message
    assert len(unknown(f"{'x' * 900} = 1").message) < 400


def test_a_field_of_choices_names_them() -> None:
    with pytest.raises(Invalid, match="choices"):
        Field(Kind.CHOICE)
    with pytest.raises(Invalid, match="choices"):
        Field(Kind.TEXT, choices=("gnn",))


LIMITS: dict[str, tuple[int, Callable[[int], str]]] = {
    "characters in a filter": (MAX_TEXT, lambda n: "sealed = TRUE".ljust(n)),
    "comparisons": (MAX_COMPARISONS, lambda n: " AND ".join(["sealed=TRUE"] * n)),
    "alternatives": (MAX_COMPARISONS, lambda n: " OR ".join(["sealed=TRUE"] * n)),
    "parentheses": (MAX_DEPTH, lambda n: "(" * n + "sealed = TRUE" + ")" * n),
    "inversions": (MAX_DEPTH, lambda n: "NOT " * n + "sealed = TRUE"),
    "values in a list": (MAX_LIST, lambda n: f"metrics.f1 IN ({', '.join('7' * n)})"),
    "keys of an order": (MAX_ORDER, lambda n: "ORDER BY " + ", ".join(["type"] * n)),
    "characters in a text": (MAX_STRING, lambda n: f"type = '{'x' * n}'"),
    "quotes in a text": (MAX_STRING, lambda n: f"type = '{chr(39) * 2 * n}'"),
    "characters in a key": (MAX_STRING, lambda n: f"tags.`{'x' * n}` IS NULL"),
}


@pytest.mark.parametrize(("limit", "write"), LIMITS.values(), ids=LIMITS)
def test_each_limit_is_kept_to_the_unit(limit: int, write: Callable[[int], str]) -> None:
    parse(write(limit), FIELDS)

    assert str(limit) in refusal(write(limit + 1)).message


def test_siblings_do_not_count_as_depth() -> None:
    deep = LIMITS["parentheses"][1](MAX_DEPTH)

    parse(" AND ".join([deep] * 3), FIELDS)


@pytest.mark.parametrize("piece", ["(", ")", "NOT ", "'", '"', "a.", 'a."', "1", "1.", "=", ","])
def test_a_text_of_one_piece_over_and_over_is_refused(piece: str) -> None:
    with pytest.raises((InvalidFilter, UnknownField)):
        parse((piece * MAX_TEXT)[:MAX_TEXT], FIELDS)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        ("( type<>'a' )and not(number=='1')", "type != 'a' AND NOT number = 'v1'"),
        (
            "(type='a' or type='b')and sealed=true",
            "(type = 'a' OR type = 'b') AND sealed = TRUE",
        ),
        ("created_at<'2026-01-14'", "created_at < '2026-01-14T00:00:00Z'"),
        ("metrics.`f 1`in(1,2)", 'metrics."f 1" IN (1.0, 2.0)'),
        ('tags.`a"b` is not null', 'tags."a""b" IS NOT NULL'),
        ("order by type asc,model desc", "ORDER BY type, model DESC"),
    ],
)
def test_a_query_is_written_in_one_way(text: str, canonical: str) -> None:
    assert render(parse(text, FIELDS)) == canonical


# --- properties ---

printable = st.characters(exclude_categories=["Cs", "Cc"])
texts = st.text(printable, max_size=20)
times = st.datetimes(
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=2))]),
    min_value=datetime(2, 1, 1),  # noqa: DTZ001 - Hypothesis adds the zone
).map(lambda time: time.astimezone(UTC))
SCALARS: dict[Kind, st.SearchStrategy[Value]] = {
    Kind.TEXT: texts,
    Kind.NUMBER: st.floats(allow_nan=False, allow_infinity=False),
    Kind.INTEGER: st.integers(-(2**63), 2**63 - 1),
    Kind.TIME: times,
    Kind.CHOICE: st.sampled_from(["draft", "ready", "archived"]),
    Kind.NUMBER_ORDER: st.integers(0, 99).map(lambda number: f"v{number}"),
    Kind.BOOL: st.booleans(),
}
ORDERED = {Op.LT, Op.LE, Op.GT, Op.GE}
PATTERNS = {Op.LIKE, Op.NOT_LIKE, Op.ILIKE, Op.NOT_ILIKE}
names = st.sampled_from(sorted(FIELDS)).flatmap(
    lambda name: st.tuples(
        st.just(name),
        st.text(printable, min_size=1, max_size=9) if name.endswith(".*") else st.just(""),
    )
)


def _ops(kind: Kind) -> list[Op]:
    ordered = kind not in {Kind.CHOICE, Kind.BOOL}
    return [
        op
        for op in Op
        if (op not in ORDERED or ordered) and (op not in PATTERNS or kind is Kind.TEXT)
    ]


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    """Any comparison the allow-list permits."""
    name, key = draw(names)
    kind = FIELDS[name].kind
    op = draw(st.sampled_from(_ops(kind)))
    return Comparison(name.removesuffix(".*"), key, op, draw(_values(kind, op)))


def _values(kind: Kind, op: Op) -> st.SearchStrategy[Value]:
    if op in {Op.IS_NULL, Op.IS_NOT_NULL}:
        return st.none()
    if op in PATTERNS:
        return texts.map(lambda text: text.replace("\\", "\\\\"))
    scalars = SCALARS[kind]
    several = st.lists(scalars, min_size=1, max_size=4).map(tuple)
    return several if op in {Op.IN, Op.NOT_IN} else scalars  # type: ignore[return-value]


def _larger(parts: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.one_of(several.map(And), several.map(Or), parts.map(Not))


expressions: st.SearchStrategy[Expr] = st.recursive(comparisons(), _larger, max_leaves=8)
orders = st.lists(
    st.builds(
        lambda name, descending: OrderKey(name[0].removesuffix(".*"), name[1], descending),
        names,
        st.booleans(),
    ),
    max_size=MAX_ORDER,
).map(tuple)
queries = st.builds(Query, st.none() | expressions, orders)


@given(queries)
def test_a_written_query_reads_the_same(query: Query) -> None:
    text = render(query)
    assume(len(text) <= MAX_TEXT)

    assert parse(text, FIELDS) == query


def _refusals_only(text: str) -> None:
    try:
        query = parse(text, FIELDS)
    except (InvalidFilter, UnknownField) as refused:
        error = refused
    else:
        assert parse(render(query), FIELDS) == query
        return
    assert error.details["column"] in range(1, len(text) + 2)
    assert error.message.isprintable()


@settings(deadline=timedelta(seconds=1))
@given(st.text(max_size=MAX_TEXT + 10) | st.text(string.printable, max_size=200))
@example("type = '" + "''" * 2044)
def test_any_text_is_read_or_refused_at_once(text: str) -> None:
    _refusals_only(text)


PIECES = [
    *FIELDS, "metrics.f1", "tags.team", 'tags."a b"', "AND", "OR", "NOT", "IN", "LIKE",
    "IS", "NULL", "IS NULL", "ORDER BY", "DESC", "ASC", "TRUE", "(", ")", ",", "=", "<>",
    "<", ">=", "7", "-1e3", "1e999", "'v1'", "'ready'", "'2026-01-14'", "'it''s'", "'\\'",
    "''", "'", ";",
]  # fmt: skip


@settings(deadline=timedelta(seconds=1))
@given(st.lists(st.sampled_from(PIECES), max_size=30).map(" ".join))
def test_any_jumble_of_words_is_read_or_refused(text: str) -> None:
    _refusals_only(text)


@given(comparisons(), st.data())
def test_spaces_capitals_and_parentheses_change_nothing(
    comparison: Comparison, data: st.DataObject
) -> None:
    plain = render(Query(And((Not(comparison), comparison)), ()))
    space = st.sampled_from([" ", "\n", "\t  "])
    word = data.draw(st.sampled_from(["AND", "and", "aNd"]))
    one = render(Query(comparison, ()))

    loose = f"(not{data.draw(space)}(({one}))){data.draw(space)}{word}({one}{data.draw(space)})"

    assert parse(loose, FIELDS) == parse(plain, FIELDS)


# --- the page ---


def _examples() -> list[str]:
    blocks = re.findall(r"```filter\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("text", _examples())
def test_every_example_of_the_page_is_valid(text: str) -> None:
    query = parse(text, FIELDS)

    assert query.where or query.order


def test_the_page_shows_what_is_really_said() -> None:
    page = PAGE.read_text(encoding="utf-8")
    fields = {"model": Field(Kind.TEXT), "metrics.*": Field(Kind.NUMBER)}

    for text, message in re.findall(r"```text\n(.+)\n(column .+)\n```", page):
        with pytest.raises(Invalid, match=f"^{re.escape(message)}$"):
            parse(text, fields)


@pytest.mark.parametrize(
    "limit", [MAX_TEXT, MAX_COMPARISONS, MAX_DEPTH, MAX_LIST, MAX_ORDER, MAX_STRING]
)
def test_the_page_lists_every_limit(limit: int) -> None:
    assert f"| {limit} |" in PAGE.read_text(encoding="utf-8")
