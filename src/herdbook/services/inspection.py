"""Look into versions: what is inside, what changed, what a file policy has to decide about.

The readers of formats are imported where they are used: a register is opened without them.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from herdbook.core.contents import Changes, FileInside, Inside
from herdbook.services.store import Store
from herdbook.services.versions import Draft

if TYPE_CHECKING:
    from herdbook.core.artifacts import Artifact, Files
    from herdbook.services.examination import Found


def inspect(store: Store, ref: str) -> Inside:
    """Tell what is inside a version, without executing anything of it.

    What was found in a blob is remembered: asked again, no byte is read.

    Raises:
        NotFound: there is no such version, or it was registered without bytes.
    """
    from herdbook.formats import survey
    from herdbook.services.examination import Examiner

    files = store.files(ref)
    found = Examiner(store).look(files.files)
    known = {path: one.contents for path, one in found.items() if one.contents is not None}
    whole = survey(known)
    own = {f"{path}: {text}" for path, contents in known.items() for text in contents.warnings}
    return Inside(
        ref=files.ref,
        manifest=files.manifest,
        size=files.size,
        format=whole.format or "unknown",
        architecture=whole.architecture,
        parameters=whole.parameters,
        tensors=len(whole.tensors),
        dtypes=whole.dtypes,
        quantization=whole.quantization,
        labels=whole.labels,
        licence=whole.licence,
        warnings=tuple(text for text in whole.warnings if text not in own),
        files=tuple(_inside(file, found[file.path]) for file in files.files),
    )


def _inside(file: "Artifact", found: "Found") -> FileInside:
    from herdbook.services.examination import NOT_LOOKED, reasons

    plain = FileInside(path=file.path, size=file.size, digest=file.digest, role=file.role)
    contents = found.contents
    if contents is None:
        left_out = () if found.looked else (NOT_LOOKED,)
        return replace(plain, problem=found.problem, warnings=left_out)
    return replace(
        plain,
        format=contents.format,
        parameters=contents.parameters,
        tensors=len(contents.tensors),
        executable=reasons(found),
        external=contents.external,
        warnings=contents.warnings,
    )


def changes(store: Store, old: str, new: str, *, quick: bool = False) -> Changes:
    """Tell what changed from one version to another.

    The bytes of tensors are read for their digests the first time they are compared, and each
    time where it is told how far those that changed have moved.

    Args:
        store: whose bytes.
        old: the one.
        new: the other.
        quick: read no bytes; tensors are compared as far as is known already.

    Raises:
        NotFound: there is no such version, or it was registered without bytes.
    """
    from herdbook.services.differences import Comparison, Side
    from herdbook.services.examination import Examiner

    examiner = Examiner(store)
    look = examiner.recall if quick else examiner.look

    def side(files: "Files") -> Side:
        return Side(files, look(files.files))

    before, after = store.files(old), store.files(new)
    return Comparison(examiner, store.blobs, side(before), side(after), quick=quick).changes()


def checked(store: Store, draft: Draft) -> Draft:
    """Make sure that the bytes of a draft are there, and add what a policy has to decide about.

    What a draft said of that before is thrown away: the door's word counts, never a client's.

    Raises:
        NotFound: bytes are not in the store.
    """
    if not draft.artifacts:
        return replace(draft, risks=None)
    from herdbook.services.examination import Examiner

    store.check(draft.artifacts)
    return replace(draft, risks=Examiner(store).risks(draft.artifacts))
