"""The page about the server names every route there is, and no other."""

import json
import re
from pathlib import Path


def test_every_route_is_documented() -> None:
    described = json.loads(Path("tests/golden/openapi.json").read_text())["paths"]
    routes = {f"{m.upper()} {path}" for path, methods in described.items() for m in methods}

    page = Path("docs/server.md").read_text()

    assert set(re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", page, flags=re.M)) == routes
