"""The git commit of the folder one works in."""

import subprocess
from pathlib import Path

TIMEOUT_SECONDS = 5


def commit_here(folder: Path | None = None) -> tuple[str, bool | None]:
    """Give the commit a folder is at and whether tracked files changed; ("", None) outside.

    A repository that cannot be read (no git, no commit yet, too slow) counts as none.
    """
    folder = folder or Path.cwd()
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return "", None
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if not commit:
        return "", None
    changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return commit, None if changes is None else bool(changes)


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
