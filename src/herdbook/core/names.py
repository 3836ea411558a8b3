"""What may be written where: names, keys and texts, with their limits.

Names are ASCII so that no two of them can look alike, and unique after case-folding so
that no two of them can be mistaken for each other on a disk that ignores case.
"""

import json
import math
import operator
import re
import unicodedata
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from herdbook.errors import Invalid

MODEL_NAME_LIMIT = 200
ALIAS_LIMIT = 64
KEY_LIMIT = 100
TAG_VALUE_LIMIT = 1_000
TAG_COUNT_LIMIT = 100
LINE_LIMIT = 500
TEXT_LIMIT = 20_000
METADATA_BYTES_LIMIT = 65_536
METADATA_DEPTH_LIMIT = 16
LIST_LIMIT = 500

_SEGMENT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+-]*[A-Za-z0-9_+])?\Z")
_ALIAS = re.compile(r"[a-z](?:[a-z0-9_.-]*[a-z0-9_])?\Z")
_KEY = re.compile(r"[A-Za-z_](?:[A-Za-z0-9_.@/+ :-]*[A-Za-z0-9_@+])?\Z")
_ROLE = re.compile(r"[a-z](?:[a-z0-9_-]*[a-z0-9])?\Z")
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10)}
)
# Words that follow a model's name in a route; as a segment of a name they would be ambiguous.
ROUTE_WORDS = frozenset(
    {
        "aliases",
        "drift",
        "lineage",
        "migrate",
        "restore",
        "versions",
    }
)
WHOLE_ROUTE_WORDS = frozenset({"register", "info"})


def model_name(text: str, *, field: str = "model") -> str:
    """Check the name of a model.

    Up to 200 characters: segments of ASCII letters, digits and `. _ + -`, joined by `/`,
    each beginning with a letter or digit and not ending in `.` or `-`.

    Raises:
        Invalid: naming the rule that was broken.

    Example:
        >>> model_name("sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2")
        'sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2'
    """
    line(text, field=field, limit=MODEL_NAME_LIMIT)
    for segment in text.split("/"):
        if not _SEGMENT.match(segment):
            raise Invalid(
                f"{text!r} is not a model name: the part {segment!r} must be ASCII letters, "
                "digits and . _ + -, begin with a letter or digit and not end in . or -; "
                "for example majora or search/ranker",
                field=field,
            )
        if segment.split(".")[0].casefold() in _DEVICES:
            raise Invalid(f"{text!r} holds {segment!r}, a device name on Windows", field=field)
    _refuse_route_words(text, field=field)
    return text


def _refuse_route_words(text: str, *, field: str) -> None:
    segments = text.split("/")
    taken = [s for s in segments[1:] if s in ROUTE_WORDS]
    if text in WHOLE_ROUTE_WORDS or segments[0] in ROUTE_WORDS:
        taken = [segments[0]]
    if taken:
        raise Invalid(
            f"{text!r} is not a model name: {taken[0]!r} is a word of the routes; "
            f"write {taken[0]}-model instead",
            field=field,
        )


def alias_name(text: str, *, field: str = "alias") -> str:
    """Check the name of an alias: lower-case ASCII, up to 64, not reserved.

    Raises:
        Invalid: also for `latest` and for a name that reads as a version number.

    Example:
        >>> alias_name("champion")
        'champion'
    """
    line(text, field=field, limit=ALIAS_LIMIT)
    if not _ALIAS.match(text):
        raise Invalid(
            f"{text!r} is not an alias: use lower-case letters, digits and _ . -, beginning "
            "with a letter; for example champion, blue or eu-west",
            field=field,
        )
    if text == "latest" or re.match(r"v\d", text):
        raise Invalid(
            f"the alias {text!r} is reserved: 'latest' and names that read as a version "
            "number always mean just that; choose another, such as champion",
            field=field,
        )
    return text


def key(text: str, *, field: str) -> str:
    """Check the key of a tag, metric or data set: ASCII, up to 100 characters.

    Example:
        >>> key("precision@5", field="metrics")
        'precision@5'
    """
    line(text, field=field, limit=KEY_LIMIT)
    if not _KEY.match(text):
        raise Invalid(
            f"{text!r} is not a name for {field}: begin with a letter or _, then ASCII letters, "
            "digits, spaces and . _ - @ / + :",
            field=field,
        )
    return text


def role_name(text: str, *, field: str = "files") -> str:
    """Check the role of a file: `lora`, `gguf`, `checkpoint`, `config` or any other word."""
    line(text, field=field, limit=ALIAS_LIMIT)
    if not _ROLE.match(text):
        raise Invalid(
            f"{text!r} is not a file role: use lower-case letters, digits, _ and -; "
            "for example lora, gguf, checkpoint or config",
            field=field,
        )
    return text


def line(text: str, *, field: str, limit: int = LINE_LIMIT) -> str:
    """Check a required text of one line without control or direction marks.

    Raises:
        Invalid: empty, too long, or with characters that do not show.
    """
    if not isinstance(text, str):
        raise Invalid(f"{field} must be text, not {type(text).__name__}", field=field)
    if not text or text != text.strip():
        raise Invalid(f"{field} must not be empty or begin or end with white space", field=field)
    return optional_line(text, field=field, limit=limit)


def optional_line(text: str, *, field: str, limit: int = LINE_LIMIT) -> str:
    """Check a text of one line that may be empty."""
    if type(text) is str and len(text) <= limit and text.isascii() and text.isprintable():
        return text
    prose(text, field=field, limit=limit)
    for position, char in enumerate(text, start=1):
        if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"}:
            raise Invalid(
                f"{field} holds U+{ord(char):04X} at position {position}, a character that "
                "does not show; remove it",
                field=field,
            )
    return text


def prose(text: str, *, field: str, limit: int = TEXT_LIMIT) -> str:
    """Check a free text (description, notes, reason): any characters a database can hold."""
    if not isinstance(text, str):
        raise Invalid(f"{field} must be text, not {type(text).__name__}", field=field)
    if len(text) > limit:
        raise Invalid(f"{field} has {len(text):,} characters; the limit is {limit:,}", field=field)
    if "\x00" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise Invalid(f"{field} holds a NUL or half of a surrogate pair; remove it", field=field)
    return text


def tags(given: Mapping[str, str] | Iterable[str], *, field: str = "tags") -> dict[str, str]:
    """Check tags; a bare list of words becomes keys with empty values.

    Example:
        >>> tags(["coder", "stable"])
        {'coder': '', 'stable': ''}
    """
    if isinstance(given, str):
        raise Invalid(f"{field} must be a mapping or a list, not one text", field=field)
    pairs = dict(given) if isinstance(given, Mapping) else dict.fromkeys(given, "")
    if len(pairs) > TAG_COUNT_LIMIT:
        raise Invalid(f"{len(pairs)} {field}; the limit is {TAG_COUNT_LIMIT}", field=field)
    for name, value in pairs.items():
        key(name, field=field)
        prose(value, field=f"{field}.{name}", limit=TAG_VALUE_LIMIT)
    return dict(sorted(pairs.items()))


def metadata(given: Mapping[str, object], *, field: str = "metadata") -> dict[str, object]:
    """Check free metadata: a JSON object of at most 64 KiB and 16 levels, finite numbers.

    Returns:
        A copy of Python's own kinds: lists for tuples, `int` and `float` for the scalars of
        other libraries.
    """
    if not isinstance(given, Mapping):
        raise Invalid(f"{field} must be an object, not {type(given).__name__}", field=field)
    found: dict[str, object] = _json(given, field=field, depth=0)
    size = len(json.dumps(found).encode())
    if size > METADATA_BYTES_LIMIT:
        raise Invalid(
            f"{field} takes {size:,} bytes; the limit is {METADATA_BYTES_LIMIT:,}. "
            "Keep large things in a file of the version",
            field=field,
        )
    return found


def _json(value: object, *, field: str, depth: int) -> Any:
    if depth > METADATA_DEPTH_LIMIT:
        raise Invalid(f"{field} is nested over {METADATA_DEPTH_LIMIT} levels deep", field=field)
    match value:
        case Mapping():
            for name in value:
                prose(name, field=f"{field} key", limit=LINE_LIMIT)
            return {
                str(name): _json(inner, field=f"{field}.{name}"[:LINE_LIMIT], depth=depth + 1)
                for name, inner in value.items()
            }
        case list() | tuple():
            return [_json(inner, field=field, depth=depth + 1) for inner in value]
        case _:
            return _checked_scalar(value, field=field)


def _checked_scalar(value: object, *, field: str) -> object:
    found = scalar(value)
    match found:
        case int() if abs(found) >= 2**63:
            raise Invalid(f"{field} holds an integer over 64 bits", field=field)
        case float() if not math.isfinite(found):
            raise Invalid(f"{field} holds {found}; JSON has no such number", field=field)
        case str():
            return str(prose(found, field=field, limit=METADATA_BYTES_LIMIT))
        case None | bool() | int() | float():
            return found
        case _:
            raise Invalid(f"{field} holds a {type(value).__name__}, which JSON cannot", field=field)


def scalar(value: object) -> object:
    """Give a number as Python's own `int` or `float`, whichever library it came from.

    What is no single number (texts, truth values, arrays) is given as it is.

    Example:
        >>> from fractions import Fraction
        >>> scalar(Fraction(1, 2)), scalar("0.5"), scalar(True)
        (0.5, '0.5', True)
    """
    if value is None or type(value) in _OWN_KINDS:
        return value
    # An array of one element is no number: what it came from may have more the next time.
    if isinstance(value, str) or getattr(value, "shape", ()) != ():
        return value
    for convert in (_index, _real, _item):
        try:
            found = convert(value)
        except (TypeError, ValueError, RuntimeError):  # 0.5 of a tensor has no index, and so on
            continue
        if type(found) in _OWN_KINDS:
            return found
    return value


_OWN_KINDS = frozenset({bool, int, float, str})


def _index(value: Any) -> object:
    return int(operator.index(value))


def _real(value: Any) -> object:
    if not isinstance(value, Real):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _item(value: Any) -> object:
    return value.item() if hasattr(value, "item") else None
