"""The git commit of the folder one works in."""

import re
import subprocess
from pathlib import Path
from typing import Final

TIMEOUT_SECONDS = 5
_COMMIT: Final = re.compile(r"[0-9a-f]{40,64}\Z")


def commit_here(folder: Path | None = None) -> tuple[str, bool | None]:
    """Give the commit a folder is at and whether tracked files changed; ("", None) outside.

    A repository that cannot be read (no git, no commit yet, too slow) counts as none.
    """
    folder = folder or Path.cwd()
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return "", None
    # Both at once: to start a program takes longer than what it is asked.
    said = _git(folder, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    if said is None:  # too slow, it may be, to look at every file
        return _git(folder, "rev-parse", "--verify", "HEAD") or "", None
    lines = said.splitlines()
    commit = next((line.split()[2] for line in lines if line.startswith("# branch.oid ")), "")
    if not _COMMIT.match(commit):  # "(initial)" before the first
        return "", None
    return commit, any(not line.startswith("#") for line in lines)


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - no shell, fixed words
            ["git", "-C", str(folder), *words],  # noqa: S607 - the git one works with
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
