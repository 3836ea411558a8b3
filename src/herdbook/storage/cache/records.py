"""What references were when they were pulled last: what there is to know without a network."""

import hashlib
import os
import re
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from herdbook.core.artifacts import Manifest
from herdbook.errors import Corrupt
from herdbook.storage.cache.disk import disk_errors, write_whole
from herdbook.storage.cache.layout import Layout
from herdbook.storage.cache.marks import read_sheet, sheet, whole_manifest

_KEY: Final = re.compile(r"[0-9a-f]{64}\Z")
_DEAD_SECONDS: Final = 3_600


class Records:
    """One small file for each reference; its time is when the reference was pulled last."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def write(self, register: str, ref: str, manifest: Manifest, version: str) -> None:
        """Note what a reference is now; the same again costs no wait for the disk."""
        key = _key(register, ref)
        path = self._layout.refs / key
        head = {"key": key, "ref": ref, "version": version, "digest": manifest.digest}
        with disk_errors(f"write in {self._layout.refs}"):
            try:
                same = read_sheet(path) == (head, manifest.text)
            except Corrupt:
                same = False
            if same:
                os.utime(path)
                return
            draft = path.with_name(f".{os.getpid()}-{secrets.token_hex(8)}")
            try:
                write_whole(path, sheet(head, manifest.text), draft=draft, durable=True)
            finally:
                draft.unlink(missing_ok=True)

    def read(self, register: str, ref: str) -> tuple[Manifest, str, datetime] | None:
        """Give the manifest, the version and the time, or None when it was never pulled.

        Raises:
            Corrupt: the record is damaged, or another's.
        """
        key = _key(register, ref)
        path = self._layout.refs / key
        found = read_sheet(path)
        if found is None:
            return None
        head, text = found
        if (head["key"], head["ref"]) != (key, ref):
            raise Corrupt(f"{path} is the record of {head['ref']}, not of {ref}; remove it")
        at = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
        return whole_manifest(text, head["digest"]), head["version"], at

    def refs(self) -> dict[str, list[str]]:
        """Give the references by the digest they stood for; damaged records are left out."""
        found: dict[str, set[str]] = {}
        for path in self._paths():
            if head := _head(path):
                found.setdefault(head["digest"], set()).add(head["ref"])
        return {digest: sorted(refs) for digest, refs in found.items()}

    def forget_all_but(self, digests: set[str]) -> None:
        """Remove records of what is no longer there, damaged ones, and what the dead left."""
        for path in self._paths():
            head = _head(path)
            if head is None or head["digest"] not in digests:
                path.unlink(missing_ok=True)
        for path in self._layout.refs.glob(".*"):
            if path.lstat().st_mtime < time.time() - _DEAD_SECONDS:
                path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return [path for path in self._layout.refs.iterdir() if _KEY.match(path.name)]


def _head(path: Path) -> dict[str, str] | None:
    try:
        found = read_sheet(path)
    except Corrupt:
        return None
    if found is None:
        return None
    head: dict[str, str] = found[0]
    return head


def _key(register: str, ref: str) -> str:
    # Only its digest is kept of a register's address: there may be a password in it.
    return hashlib.sha256(f"{register}\0{ref}".encode()).hexdigest()
