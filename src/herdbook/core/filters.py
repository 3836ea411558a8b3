"""The filter language of `docs/filters.md`: a text becomes a typed tree, without SQL."""

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Final, NamedTuple, TypeAlias, TypeVar, Union

from herdbook.errors import Invalid, InvalidFilter, UnknownField

MAX_TEXT: Final = 4096
MAX_COMPARISONS: Final = 50
MAX_DEPTH: Final = 20
MAX_LIST: Final = 100
MAX_ORDER: Final = 4
MAX_STRING: Final = 1000

Scalar: TypeAlias = str | int | float | bool | datetime
Value: TypeAlias = Scalar | tuple[Scalar, ...] | None
Expr: TypeAlias = Union["Comparison", "And", "Or", "Not"]
_T = TypeVar("_T")


class Kind(Enum):
    """What a field holds; the value says it in an error message."""

    TEXT = "text"
    NUMBER = "a number"
    INTEGER = "a whole number"
    TIME = "a time"
    CHOICE = "a choice"
    NUMBER_ORDER = "a version number"
    BOOL = "true or false"


class Op(Enum):
    """A comparison; the value is how `render` writes it."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    IN = "IN"
    NOT_IN = "NOT IN"
    IS_NULL = "IS NULL"
    IS_NOT_NULL = "IS NOT NULL"
    LIKE = "LIKE"
    NOT_LIKE = "NOT LIKE"
    ILIKE = "ILIKE"
    NOT_ILIKE = "NOT ILIKE"


@dataclass(frozen=True, slots=True)
class Field:
    """What a field holds; in an allow-list, `metrics.*` names the field of every metric."""

    kind: Kind
    choices: tuple[str, ...] = ()  # every text a CHOICE may be; empty for the other kinds
    check: Callable[[str], str] | None = None  # normalises a quoted value or raises Invalid

    def __post_init__(self) -> None:
        if (self.kind is Kind.CHOICE) != bool(self.choices):
            message = "give choices to a field of Kind.CHOICE, and to no other"
            raise Invalid(message, field="choices")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field against one value; a NUMBER is a `float`, a TIME an aware `datetime`."""

    field: str  # `metrics` of metrics.accuracy
    key: str  # `accuracy` of metrics.accuracy; "" for a field without a prefix
    op: Op
    value: Value  # a tuple for [NOT] IN, None for IS [NOT] NULL, else a scalar


@dataclass(frozen=True, slots=True)
class And:
    """Every part holds; two parts or more."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Some part holds; two parts or more."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Expr


@dataclass(frozen=True, slots=True)
class OrderKey:
    """One key of ORDER BY; `field` and `key` as in `Comparison`."""

    field: str
    key: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A whole filter; `Query(None, ())` is the empty text."""

    where: Expr | None
    order: tuple[OrderKey, ...]


def parse(text: str, fields: Mapping[str, Field]) -> Query:
    """Read a filter; a blank one means everything, in no stated order.

    Raises:
        InvalidFilter: a rule or limit is broken; `details["column"]` counts from 1.
        UnknownField: no such field; `details` has `column`, `nearest` and `allowed`.

    Example:
        >>> parse("metrics.accuracy > 0.9", {"metrics.*": Field(Kind.NUMBER)}).where
        Comparison(field='metrics', key='accuracy', op=<Op.GT: '>'>, value=0.9)
    """
    if len(text) > MAX_TEXT:
        raise _fault(MAX_TEXT + 1, f"a filter has {MAX_TEXT} characters at most")
    return _Parser(text, fields).query()


def render(query: Query) -> str:
    """Write a query as canonical text, the same query when read (if below `MAX_TEXT`).

    Example:
        >>> render(parse("(a<>1)and not a==2", {"a": Field(Kind.INTEGER)}))
        'a != 1 AND NOT a = 2'
    """
    where = [] if query.where is None else [_render(query.where)]
    keys = (_name(key.field, key.key) + " DESC" * key.descending for key in query.order)
    return " ".join([*where, "ORDER BY " + ", ".join(keys)] if query.order else where)


def _render(expr: Expr, *looser: type) -> str:
    match expr:
        case And(parts):
            text = " AND ".join(_render(part, And, Or) for part in parts)
        case Or(parts):
            text = " OR ".join(_render(part, Or) for part in parts)
        case Not(part):
            text = f"NOT {_render(part, And, Or)}"
        case _:
            operand = "" if expr.value is None else f" {_literal(expr.value)}"
            text = f"{_name(expr.field, expr.key)} {expr.op.value}{operand}"
    return f"({text})" if isinstance(expr, looser) else text


def _name(field: str, key: str) -> str:
    written = key if _BARE_KEY.fullmatch(key) else '"' + key.replace('"', '""') + '"'
    return f"{field}.{written}" if key else field


def _literal(value: Scalar | tuple[Scalar, ...]) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))})"
    if isinstance(value, datetime):
        value = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    quoted = "'" + str(value).replace("'", "''") + "'"
    return quoted if isinstance(value, str) else repr(value).upper()


class _Token(NamedTuple):
    sort: str  # FIELD, OP, STRING, NUMBER, BOOL, END, or the word itself: AND, (
    text: str  # the meaning: unquoted, words in capitals
    raw: str
    column: int


_BARE_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
# Possessive (*+), so that a long text which fails is not tried again from each character.
_TOKEN: Final = re.compile(
    r"""\s++
      | (?P<OP><=|>=|<>|==|!=|[=<>]
          | (?:(?:NOT\s++)?(?:I?LIKE|IN)|IS\s++(?:NOT\s++)?NULL)(?![\w./-]))
      | (?P<WORD>[(),]|(?:AND|OR|NOT|NULL|ASC|DESC|ORDER\s++BY)(?![\w./-]))
      | (?P<BOOL>(?:TRUE|FALSE)(?![\w./-]))
      | (?P<FIELD>[a-z_][\w./-]*+(?:(?<=\.)(?:"(?:[^"]|"")*+"|`(?:[^`]|``)*+`))?)
      | (?P<STRING>'(?:[^']|'')*+')
      | (?P<NUMBER>[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:e[+-]?\d++)?(?![\w.]))
      | (?P<WRONG>.)""",
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
# PostgreSQL stores no NUL, and no driver encodes half a surrogate pair.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_HINTS: Final = {
    "'": "this quote is never closed; inside text it is written twice: 'it''s'",
    '"`': 'text takes single quotes: \'oracle\'; " and ` enclose a key: tags."my key"',
    "\u2018\u2019\u201c\u201d\xb4\xa0\u200b": "type a plain quote or space: 'oracle'",
    "@%+:$~": 'a key with other characters is quoted: metrics."recall@10"',
    "": "expected a field, an operator or a value, as in type = 'embedding' AND number = 7",
}


def _fault(column: int, message: str) -> InvalidFilter:
    return InvalidFilter(f"column {column}: {message}", field="filter", details={"column": column})


def _shown(raw: str) -> str:
    return "".join(c if c.isprintable() else "·" for c in raw[:60]) + "…" * (len(raw) > 60)


def _tokens(text: str) -> Iterator[_Token]:
    if found := _CONTROL.search(text):
        raise _fault(found.start() + 1, f"found the control character {found[0]!r}")
    for match in _TOKEN.finditer(text):
        sort, raw, column = match.lastgroup, match.group(), match.start() + 1
        if sort == "WRONG":
            hint = next(hint for those, hint in _HINTS.items() if raw in those or not those)
            raise _fault(column, f"found {raw!r}; {hint}")
        if sort:
            yield _token(sort, raw, column)
    yield _Token("END", "", "the end", len(text) + 1)


def _token(sort: str, raw: str, column: int) -> _Token:
    if raw[-1] in "'\"`":
        head, _, inside = raw[:-1].partition(raw[-1])
        text = inside.replace(raw[-1] * 2, raw[-1])
        if len(text) > MAX_STRING:
            raise _fault(column, f"a quoted text has {MAX_STRING} characters at most")
        return _Token(sort, head + text, raw, column)
    text = raw if sort in {"FIELD", "NUMBER"} else " ".join(raw.upper().split())
    return _Token(text if sort == "WORD" else sort, text, raw, column)


_NULLS: Final = (Op.IS_NULL, Op.IS_NOT_NULL)
_LISTS: Final = (Op.IN, Op.NOT_IN)
_PATTERNS: Final = (Op.LIKE, Op.NOT_LIKE, Op.ILIKE, Op.NOT_ILIKE)
_EQUAL: Final = (Op.EQ, Op.NE, *_LISTS, *_NULLS)
_RANKED: Final = (Op.LT, Op.LE, Op.GT, Op.GE, *_EQUAL)
_RULES: Final = {
    Kind.TEXT: ("STRING", "'oracle'", (*_RANKED, *_PATTERNS)),
    Kind.NUMBER: ("NUMBER", "0.9", _RANKED),
    Kind.INTEGER: ("NUMBER", "7", _RANKED),
    Kind.TIME: ("STRING", "'2026-01-14T10:00:00Z'", _RANKED),
    Kind.CHOICE: ("STRING", "", _EQUAL),
    Kind.NUMBER_ORDER: ("STRING", "'v1.2.0'", _RANKED),
    Kind.BOOL: ("BOOL", "TRUE", _EQUAL),
}


def _scalar(token: _Token, name: str, spec: Field, op: Op) -> Scalar:
    try:
        if token.sort == _RULES[spec.kind][0]:
            return _value(token.text, spec, op)
    except Invalid as error:
        raise _fault(token.column, f"{name}: {error.message}") from error
    except (ValueError, OverflowError):
        pass  # answered like a value of another kind
    raise _fault(token.column, _wrong(token, name, spec, op))


def _value(text: str, spec: Field, op: Op) -> Scalar:
    match spec.kind:
        case Kind.NUMBER if math.isfinite(number := float(text)):
            return number
        case Kind.INTEGER if -(2**63) <= (whole := int(text)) < 2**63:
            return whole
        case Kind.TIME:
            time = datetime.fromisoformat(text)
            return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
        case Kind.BOOL:
            return text == "TRUE"
    lone = op in _PATTERNS and (len(text) - len(text.rstrip("\\"))) % 2
    if lone or _RULES[spec.kind][0] == "NUMBER" or text not in (spec.choices or [text]):
        raise ValueError
    return spec.check(text) if spec.check and op not in _PATTERNS else text


def _wrong(token: _Token, name: str, spec: Field, op: Op) -> str:
    if token.sort == "NULL":
        return f"nothing compares with NULL; write {name} IS NULL"
    kind = f"one of {', '.join(spec.choices)}" if spec.choices else spec.kind.value
    bare = _RULES[spec.kind][1] or f"'{spec.choices[0]}'"
    example = f"({bare})" if op in _LISTS else bare
    return f"{name} is {kind}; write {name} {op.value} {example}, not {_shown(token.raw)}"


def _resolve(token: _Token, fields: Mapping[str, Field]) -> tuple[str, str, Field]:
    prefix, dot, key = token.text.partition(".")
    if token.text in fields and key != "*":
        return token.text, "", fields[token.text]
    if not dot or f"{prefix}.*" not in fields:
        raise _unknown(token, fields)
    if not (key if token.raw != token.text else _BARE_KEY.fullmatch(key)):
        raise _fault(token.column, f'a key is written {prefix}.shots or {prefix}."5-shots"')
    return prefix, key, fields[f"{prefix}.*"]


def _unknown(token: _Token, fields: Mapping[str, Field]) -> UnknownField:
    name, (_, dot, key) = _shown(token.raw), token.raw[:60].partition(".")
    allowed = [each.replace("*", "<key>") for each in fields]
    near = {each.replace(".<key>", dot + key): each for each in allowed}
    best = difflib.get_close_matches(token.raw[:60], near, n=1)
    nearest = "".join(best if dot else (near[each] for each in best))
    hint = f"did you mean {_shown(nearest)}? " if nearest else ""
    message = f"column {token.column}: no field {name}; {hint}Fields: {', '.join(allowed)}"
    details = {"column": token.column, "nearest": nearest, "allowed": allowed}
    return UnknownField(message, field=name, details=details)


class _Parser:
    """Recursive descent, its depth checked on the way down: no text exhausts the stack."""

    def __init__(self, text: str, fields: Mapping[str, Field]) -> None:
        self._rest = _tokens(text)
        self._now = next(self._rest)
        self._fields = fields
        self._comparisons = 0

    def query(self) -> Query:
        where = None if self._now.sort in {"END", "ORDER BY"} else self._either(0)
        order = self._list(",", self._key, MAX_ORDER) if self._takes("ORDER BY") else ()
        self._needs("END", "AND, OR, ORDER BY or the end, as in a = 'b' AND c = 7")
        return Query(where, order)

    def _either(self, depth: int) -> Expr:
        parts = self._list("OR", lambda: self._both(depth))
        return Or(parts) if len(parts) > 1 else parts[0]

    def _both(self, depth: int) -> Expr:
        parts = self._list("AND", lambda: self._inverse(depth))
        return And(parts) if len(parts) > 1 else parts[0]

    def _inverse(self, depth: int) -> Expr:
        if depth > MAX_DEPTH:
            raise _fault(self._now.column, f"NOT and ( nest {MAX_DEPTH} deep at most")
        if self._takes("NOT"):
            return Not(self._inverse(depth + 1))
        if not self._takes("("):
            return self._comparison()
        inner = self._either(depth + 1)
        self._needs(")", "AND, OR or ), as in (name = 'gnn')")
        return inner

    def _comparison(self) -> Comparison:
        token = self._needs("FIELD", "a field, as in metrics.accuracy > 0.9")
        field, key, spec = _resolve(token, self._fields)
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise _fault(token.column, f"more than {MAX_COMPARISONS} comparisons")
        return Comparison(field, key, *self._test(_shown(token.raw), spec))

    def _test(self, name: str, spec: Field) -> tuple[Op, Value]:
        sign = self._needs("OP", f"an operator, as in {name} IS NULL")
        op = Op({"==": "=", "<>": "!="}.get(sign.text, sign.text))
        if op not in (allowed := _RULES[spec.kind][2]):
            takes = ", ".join(each.value for each in allowed)
            raise _fault(sign.column, f"{name} is {spec.kind.value}; it takes {takes}")
        if op in _NULLS:
            return op, None
        if op not in _LISTS:
            return op, _scalar(self._next(), name, spec, op)
        self._needs("(", "a list in parentheses, as in name IN ('gnn', 'oracle')")
        values = self._list(",", lambda: _scalar(self._next(), name, spec, op), MAX_LIST)
        self._needs(")", "a comma or ), as in name IN ('gnn', 'oracle')")
        return op, values

    def _key(self) -> OrderKey:
        token = self._needs("FIELD", "a field, as in ORDER BY created_at DESC")
        field, key, _ = _resolve(token, self._fields)
        return OrderKey(field, key, not self._takes("ASC") and self._takes("DESC"))

    def _list(self, by: str, one: Callable[[], _T], most: int = MAX_TEXT) -> tuple[_T, ...]:
        parts = [one()]
        while self._takes(by):
            if len(parts) == most:
                raise _fault(self._now.column, f"this list has {most} entries at most")
            parts.append(one())
        return tuple(parts)

    def _takes(self, sort: str) -> bool:
        return self._now.sort == sort and bool(self._next())

    def _needs(self, sort: str, expected: str) -> _Token:
        if self._now.sort != sort:
            found = _shown(self._now.raw)
            raise _fault(self._now.column, f"found {found}; expected {expected}")
        return self._next()

    def _next(self) -> _Token:
        token, self._now = self._now, next(self._rest, self._now)
        return token
