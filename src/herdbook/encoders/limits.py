"""Which texts are not given to an encoder at all."""

from collections.abc import Sequence
from typing import Final

from herdbook.errors import Invalid

TEXT_LIMIT: Final = 100_000  # characters


def refusal(text: str | None, *, limit: int = TEXT_LIMIT) -> str:
    r"""Say why a text cannot be embedded, or "" when nothing speaks against it.

    Args:
        text: of a document; None where it has none.
        limit: the most characters it may have.

    Example:
        >>> refusal("the policy covers rain")
        ''
        >>> refusal(" \n")
        'it is blank'
    """
    if not isinstance(text, str):
        return _no_text(text)
    if len(text) > limit:
        return f"it has {len(text):,} characters; at most {limit:,} are embedded"
    if not text or text.isspace():
        return "it is blank"
    return _half(text)


def refuse_unreadable(texts: Sequence[object]) -> None:
    """Refuse what no tokenizer and no service can read.

    Raises:
        Invalid: naming the first; `details["index"]` is its place.
    """
    for index, text in enumerate(texts):
        wrong = _half(text) if isinstance(text, str) else _no_text(text)
        if wrong:
            raise Invalid(f"text {index} cannot be embedded: {wrong}", details={"index": index})


def _no_text(found: object) -> str:
    return "it has no text" if found is None else f"it is no text but {type(found).__name__}"


def _half(text: str) -> str:
    if text.isascii():
        return ""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"it is no Unicode: half a surrogate pair at character {error.start:,}"
    return ""
