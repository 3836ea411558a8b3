"""The page about filters names every field there is."""

import re
from pathlib import Path

from herdbook.core.search import MODEL_FIELDS, VERSION_FIELDS


def test_every_field_is_documented_for_what_it_searches() -> None:
    page = Path("docs/filters.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| (yes|) \| (yes|) \|", page, flags=re.M)

    assert {name for name, models, _ in rows if models} == set(MODEL_FIELDS)
    assert {name for name, _, versions in rows if versions} == set(VERSION_FIELDS)
