"""Text: the front matter of a model card."""

import re
from typing import Any, Final

from herdbook.formats.contents import Contents

HEAD_BYTES: Final = 64 * 2**10
_FRONT: Final = re.compile(r"---[ \t]*\r?\n(?P<lines>.*?)\r?\n---[ \t]*(\r?\n|\Z)", re.DOTALL)
_PAIR: Final = re.compile(r"(?P<key>[A-Za-z_][\w-]*):[ \t]+(?P<value>[^\r\n]+)")
_KEPT: Final = frozenset(
    {"license", "license_name", "license_link", "base_model", "library_name", "pipeline_tag"}
    | {"language", "model_name"}
)


def is_text(head: bytes) -> bool:
    """Say whether it begins as text does: no zero bytes, UTF-8 up to a character cut at the end."""
    if b"\0" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4
    return True


def model_card(head: bytes) -> Contents | None:
    r"""Read the plain `key: value` lines of a front matter; None where there is none.

    YAML is not parsed: what is no such line (lists, nested keys) is passed over.

    Example:
        >>> model_card(b"---\nlicense: mit\n---\n# majora\n").licence
        'mit'
    """
    if not head.startswith(b"---"):
        return None
    found = _FRONT.match(head.decode("utf-8", "replace"))
    if found is None:
        return None
    details: dict[str, Any] = {}
    for line in found["lines"].splitlines():
        pair = _PAIR.match(line)
        if pair and pair["key"] in _KEPT:
            details.setdefault(pair["key"], pair["value"].strip().strip("\"'")[:200])
    licence = details.get("license", "")
    if licence == "other":
        licence = details.get("license_name", licence)
    return Contents(format="model-card", licence=licence, details=details)
