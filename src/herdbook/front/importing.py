"""Take what other registries hold into a register, through the ordinary verbs.

Everything is read and checked first, then written; each version is a transaction of its own.
What is there already, by its number, is skipped: an import that was stopped is given again.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from herdbook.core.models import Model, Status, Version
from herdbook.core.refs import CHAMPION
from herdbook.core.transfer import Loaded
from herdbook.errors import Gone, Invalid, NotFound, Unavailable
from herdbook.front.book import Herdbook
from herdbook.protocols import afs, coreml, folder
from herdbook.protocols.plan import Plan, Planned, PlannedModel

DOCUMENT_BYTES_LIMIT = 512 * 2**20

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported(Loaded):
    """What an import from another tool did.

    Args:
        refs: the versions that were taken, or would be.
    """

    refs: tuple[str, ...] = ()


def import_afs(
    book: Herdbook,
    registry: str | os.PathLike[str],
    *,
    lineage: str | os.PathLike[str] = "",
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Take an AFS `registry.json`, and its `lineage.json` when given.

    Args:
        book: the register.
        registry: the file.
        lineage: the other file, or "".
        dry_run: check and tell what would be done, write nothing.
        progress: called with how many versions are done, and of how many.

    Raises:
        Invalid: naming the place in the file; nothing was written then.
    """
    lines = _parsed(Path(lineage)) if lineage else None
    planned = afs.read(_parsed(Path(registry)), lines)
    return carry_out(book, planned, dry_run=dry_run, progress=progress)


def import_coreml(
    book: Herdbook,
    registry: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Take a CoreML `model_registry.json`; see `import_afs`."""
    planned = coreml.read(_parsed(Path(registry)))
    return carry_out(book, planned, dry_run=dry_run, progress=progress)


def import_folder(
    book: Herdbook,
    root: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Register the models of a directory tree, their files by role and location.

    No file but `artifact_metadata.json` and `config.json` is opened; see `import_afs`.
    """
    top = Path(root).absolute()
    if not top.is_dir():
        raise Invalid(f"{root} is not a folder", field="folder")
    planned = folder.read(_folders(top), root=top.name)
    return carry_out(book, planned, dry_run=dry_run, progress=progress)


def carry_out(
    book: Herdbook, planned: Plan, *, dry_run: bool = False, progress: Progress | None = None
) -> Imported:
    """Do what is planned, or only tell what it would be."""
    work = _Import(book, planned, dry_run=dry_run)
    for at, version in enumerate(planned.versions, start=1):
        work.take(version)
        if progress is not None:
            progress(at, len(planned.versions))
    work.serve()
    return Imported(
        counts=work.counts,
        notes=(*planned.notes, *work.notes),
        dry_run=dry_run,
        refs=tuple(work.refs),
    )


class _Import:
    """One import as it goes on."""

    def __init__(self, book: Herdbook, planned: Plan, *, dry_run: bool) -> None:
        self._book = book
        self._plan = planned
        self._dry_run = dry_run
        self._owners = {model.name: model for model in planned.models}
        self._held: dict[str, Model | None] = {}
        self._taken: set[str] = set()
        self._types: dict[str, str] = {}
        self.counts = dict.fromkeys(("models", "versions", "skipped", "promotions"), 0)
        self.notes: list[str] = []
        self.refs: list[str] = []
        # Parents are looked for before anything is written.
        self._parents = {version.ref: self._found_parents(version) for version in planned.versions}

    def _found_parents(self, version: Planned) -> list[str]:
        ours = {other.ref for other in self._plan.versions}
        found: dict[str, None] = {}
        for ref in (*version.parents, *version.hints):
            present = None if ref in ours else self._present(ref)
            if ref in ours or present is not None:
                found[ref if present is None else present.ref] = None
            elif ref in version.parents:
                self.notes.append(f"{version.ref} came from {ref}, which is not there.")
        return list(found)

    def _present(self, ref: str) -> Version | None:
        try:
            return self._book.versions.get(ref)
        except (NotFound, Invalid):  # a base model need not be a reference at all
            return None

    def take(self, version: Planned) -> None:
        """Register a version, unless it is there; bring it to where it ends."""
        try:
            there = self._book.versions.get(version.ref)
        except Gone as gone:
            self._skip(f"{gone}; it was not taken again.")
            return
        except NotFound:
            there = None
        if there is not None:
            self._skip(f"{version.ref} is there already.")
            # An import that was stopped may have registered it without finishing it.
            ours = there.tags.get("imported_from") == self._plan.source
            if ours and there.status is Status.DEVELOPMENT:
                self._finish(version)
            return
        self._begin(version.model)
        self.counts["versions"] += 1
        self._taken.add(version.ref)
        self.refs.append(version.ref)
        if not self._dry_run:
            parents = self._parents[version.ref]
            facts: dict[str, Any] = {**version.facts, "parent": parents}
            if not self._fits(version):
                del facts["model_type"]
            self._book.models.register(version.model, version.number, **facts)
        self._finish(version)

    def _fits(self, version: Planned) -> bool:
        """Whether what is said of the model's type is what the model has: it has one."""
        said = str(version.facts.get("model_type", ""))
        before, planned = self._model(version.model), self._owners.get(version.model)
        known = (before.type if before else "") or (planned.about.get("type") if planned else "")
        kind = self._types.setdefault(version.model, str(known or said)) if said else ""
        if said != kind:
            self.notes.append(f"{version.ref} says its type is {said}; the model's is {kind}.")
        return said == kind

    def _skip(self, note: str) -> None:
        self.counts["skipped"] += 1
        self.notes.append(note)

    def _finish(self, version: Planned) -> None:
        if version.ends is not None and not self._dry_run:
            reason = f"imported from {self._plan.source} as {version.ends}"
            self._book.versions.set_status(version.ref, version.ends, reason=reason)

    def _begin(self, name: str) -> None:
        if self._model(name) is None and name not in self._taken:
            self.counts["models"] += 1
            self._taken.add(name)
            if not self._dry_run:
                planned = self._owners.get(name, PlannedModel(name=name))
                self._book.models.create(name, **planned.about)

    def _model(self, name: str) -> Model | None:
        """Give a model as it was before this import touched it."""
        if name not in self._held:
            try:
                self._held[name] = self._book.models.get(name)
            except NotFound:
                self._held[name] = None
        return self._held[name]

    def serve(self) -> None:
        """Promote what served, in its order; a champion that was there before stays."""
        for ref in self._plan.serving:
            model = ref.rpartition(":")[0]
            before = self._model(model)
            if before is not None and before.champion:
                if ref in self._taken:
                    self.notes.append(
                        f"{model}@{CHAMPION} is {before.champion} already and stays; {ref} served "
                        f"in {self._plan.source}."
                    )
                continue
            self.counts["promotions"] += 1
            if not self._dry_run:
                self._book.deployments.promote(
                    ref, reason=f"imported from {self._plan.source}, where it served"
                )


def _parsed(path: Path) -> object:
    try:
        if path.stat().st_size > DOCUMENT_BYTES_LIMIT:
            raise Invalid(f"{path} is over {DOCUMENT_BYTES_LIMIT:,} bytes", field=str(path))
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{path} is not JSON: {error}", field=str(path)) from error


def _folders(top: Path) -> Iterator[folder.Found]:
    for here, below, files in os.walk(top):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if not any(folder.role(name) for name in files):
            continue
        place = Path(here)
        path = place.relative_to(top).as_posix()
        yield folder.Found(
            path="" if path == "." else path,
            location=place.as_posix(),
            files=tuple(name for name in files if not name.startswith(".")),
            documents={name: _parsed(place / name) for name in folder.DOCUMENTS if name in files},
        )
