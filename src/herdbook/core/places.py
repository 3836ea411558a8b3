"""Where a model may lie outside the register: folders, the Hugging Face hub, buckets.

What is taken here means one place to whoever reads it. Nothing is percent-decoded, no case is
changed, and what two readers of an address could read differently is refused.
"""

import re
from dataclasses import dataclass
from typing import Final

from herdbook.core import names
from herdbook.errors import Invalid

FOLDER_LIMIT: Final = 2_000
HUB_NAME_LIMIT: Final = 96
REVISION_LIMIT: Final = 250
KEY_BYTES_LIMIT: Final = 1_024

EXAMPLES: Final = {
    "herdbook": "herdbook:majora@champion",
    "local": "local:artifacts/model-v1",
    "hf": "hf:deepset/gbert-base@main",
    "s3": "s3://bucket/models/majora",
    "gs": "gs://bucket/models/majora",
    "az": "az://container/models/majora",
}

_HUB_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\Z")
_REVISION: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]*\Z")
_ADDRESS: Final = re.compile(r"\d+\.\d+\.\d+\.\d+\Z")
_UNFIT_IN_KEYS: Final = frozenset("\\%?#")


@dataclass(frozen=True, slots=True)
class _BucketRule:
    shape: re.Pattern[str]
    said: str


_BUCKETS: Final = {
    "s3": _BucketRule(
        re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z"),
        "3 to 63 lower-case letters, digits, . and -",
    ),
    "gs": _BucketRule(
        re.compile(r"(?!.*\.\.)[a-z0-9](?=.{2,221}\Z)[a-z0-9._-]*[a-z0-9]\Z"),
        "3 to 222 lower-case letters, digits and . _ -",
    ),
    "az": _BucketRule(
        re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]\Z"),
        "3 to 63 lower-case letters, digits and single -",
    ),
}


def wrong(scheme: str, part: str, why: str) -> Invalid:
    """Make the error of a part of a reference: its scheme, the part, an example that works."""
    return Invalid(f"{scheme}: the {part} {why}; this works: {EXAMPLES[scheme]}", field="ref")


def folder(text: str) -> str:
    r"""Check the path of a folder on this machine, and drop what does not lead anywhere.

    Relative or absolute, `..` too: it is the user's own disk. `%41` is the name of a folder, and
    so is `a\b` where `\` does not separate.

    Example:
        >>> folder("./artifacts//model-v1/")
        'artifacts/model-v1'
    """
    _shown(text, scheme="local", part="folder", limit=FOLDER_LIMIT)
    if text.startswith(("//", "\\\\")):
        raise wrong("local", "folder", "begins with //, which could name another machine")
    if text.startswith("~"):
        raise wrong("local", "folder", "begins with ~, which only a shell reads; write it in full")
    kept = [part for part in text.split("/") if part not in {"", "."}]
    if text.startswith("./") and kept and kept[0].startswith(("~", "\\\\")):
        kept.insert(0, ".")  # ./~x is a folder named ~x, and stays one when it is read again
    found = "/" * text.startswith("/") + "/".join(kept) or "."
    return str(_shown(found, scheme="local", part="folder", limit=FOLDER_LIMIT))


def hub_repo(text: str) -> str:
    """Check the name of a repository of the hub: `name` or `owner/name`, as the hub has it.

    Each at most 96 ASCII letters, digits and `. _ -`; neither `--` nor `..` in it, neither `-`
    nor `.` at its ends, and no `.git`.
    """
    _shown(text, scheme="hf", part="repository", limit=2 * HUB_NAME_LIMIT + 1)
    parts = text.split("/")
    if len(parts) > 2:
        raise wrong("hf", "repository", f"{text!r:.80} has {len(parts)} parts; write owner/name")
    for part in parts:
        if len(part) > HUB_NAME_LIMIT:
            raise wrong("hf", "repository", f"has a part over {HUB_NAME_LIMIT} characters")
        if not _HUB_NAME.match(part) or "--" in part or ".." in part or part.endswith(".git"):
            raise wrong(
                "hf",
                "repository",
                f"{text!r:.80} must be ASCII letters, digits and . _ - without -- or .., not "
                f"beginning or ending with . or -, nor ending in .git; {part!r:.60} is not",
            )
    return text


def hub_revision(text: str) -> str:
    """Check a branch, tag or commit of the hub: a name that git takes, in ASCII.

    Example:
        >>> hub_revision("refs/pr/1")
        'refs/pr/1'
    """
    _shown(text, scheme="hf", part="revision", limit=REVISION_LIMIT)
    parts = text.split("/")
    unfit = not _REVISION.match(text) or ".." in text or text.endswith(".")
    if unfit or any(not p or p.startswith(".") or p.endswith(".lock") for p in parts):
        raise wrong("hf", "revision", f"{text!r:.80} is not a branch, tag or commit of git")
    return text


def bucket(text: str, *, scheme: str) -> str:
    """Check the name of a bucket (of `az`, a container) by the rules of its provider."""
    if "@" in text or ":" in text:  # it may be a secret, so it is not shown
        raise wrong(scheme, "bucket", "holds @ or :; credentials have no place in a reference")
    rule = _BUCKETS[scheme]
    if not rule.shape.match(text) or _ADDRESS.match(text):
        raise wrong(
            scheme,
            "bucket",
            f"{text!r:.80} must be {rule.said}, beginning and ending with a letter or digit, "
            "and no IP address",
        )
    return text


def key(text: str, *, scheme: str) -> str:
    """Check what the keys in a bucket begin with, and drop the `/` at its end.

    Taken as it is: `%`, `?`, `#` and backslashes, which readers of addresses read differently,
    are refused, and so are the parts "", `.` and `..`.
    """
    found = text.removesuffix("/")
    _shown(found, scheme=scheme, part="path", limit=KEY_BYTES_LIMIT)
    if len(found.encode()) > KEY_BYTES_LIMIT:
        raise wrong(scheme, "path", f"is over {KEY_BYTES_LIMIT:,} bytes")
    odd = next((part for part in found.split("/") if part in {"", ".", ".."}), None)
    if odd is not None:
        raise wrong(scheme, "path", f"{found!r:.80} has the part {odd!r}")
    unfit = next((c for c in found if c in _UNFIT_IN_KEYS), "")
    if unfit:
        raise wrong(scheme, "path", f"{found!r:.80} holds {unfit}, which programs read differently")
    return found


def _shown(text: str, *, scheme: str, part: str, limit: int) -> str:
    """Refuse what is empty, too long, or holds characters that do not show."""
    if text == "":
        raise wrong(scheme, part, "is missing")
    try:
        return names.line(text, field=part, limit=limit)
    except Invalid as error:
        why = error.message.removeprefix(part).strip()
        raise wrong(scheme, part, why) from None
