"""`python -m herdbook.loader setup`: fetch what `ML_MODEL_REF` names, as an init container does.

The same as `herdbook artifacts download`, with the same exit statuses, where nothing but the
loader is wanted.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from herdbook.errors import HerdbookError
from herdbook.loader.finding import find

SETUP: Final = "setup"
DOWNLOAD: Final = "download"  # a word that may stand before the reference
# What `herdbook` ends with, too: docs/errors.md.
EXIT: Final[dict[str, int]] = {
    "error": 70,
    "refused": 1,
    "bad_signature": 1,
    "invalid": 2,
    "invalid_filter": 2,
    "unknown_field": 2,
    "too_large": 2,
    "task_failed": 70,
    "missing_extra": 2,
    "not_found": 3,
    "gone": 3,
    "conflict": 4,
    "already_exists": 4,
    "immutable": 4,
    "stale_epoch": 4,
    "refused_move": 4,
    "cycle": 4,
    "key_reused": 4,
    "unauthenticated": 5,
    "forbidden": 5,
    "throttled": 5,
    "unreachable": 6,
    "corrupt": 7,
    "unavailable": 8,
    "owned": 8,
    "schema_mismatch": 9,
    "not_built": 10,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch a model, print its folder, and give the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    ref = _parser().parse_args(words[words[:1] == [DOWNLOAD] :]).ref
    try:
        found = find(None if ref == SETUP else ref)
    except HerdbookError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return EXIT[error.code]
    sys.stdout.write(f"{found.folder}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m herdbook.loader",
        usage="python -m herdbook.loader [download] [setup | REF]",
        description="Fetch a model, verify it, and print the folder it is in.",
    )
    parser.add_argument(
        "ref",
        nargs="?",
        default=SETUP,
        help="a reference such as hf:deepset/gbert-base; setup, or nothing, for ML_MODEL_REF",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
