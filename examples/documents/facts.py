"""What the example states: every fact is checked where it is printed, and kept for its end."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Facts:
    """Facts by their names, and figures that are shown and not judged."""

    held: dict[str, bool] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    def hold(self, name: str, *, holds: bool, says: str) -> None:
        """State a fact; `holds` is what was found when it was checked."""
        self.held[name] = bool(holds)
        print(f"  {'checked' if holds else 'NOT SO '}  {says}", flush=True)

    @property
    def all_hold(self) -> bool:
        """Whether every fact does."""
        return bool(self.held) and all(self.held.values())

    def save(self, path: Path) -> None:
        """Write them as JSON."""
        said = {"facts": self.held, "figures": self.figures}
        path.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def heading(text: str) -> None:
    """Print a heading."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def say(text: str) -> None:
    """Print a line."""
    print(f"  {text}", flush=True)
