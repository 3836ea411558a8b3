"""Register versions, look them up, move them along their life."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from herdbook.core import names, search
from herdbook.core.access import Action
from herdbook.core.artifacts import Artifact
from herdbook.core.contents import Risk
from herdbook.core.events import Change
from herdbook.core.lineage import DEPTH_LIMIT
from herdbook.core.models import (
    UNSEALED,
    Facts,
    FileLocation,
    Parent,
    ParentKind,
    Status,
    Training,
    Version,
    check_transition,
    facts_digest,
)
from herdbook.core.numbers import FIRST, Bump, Number
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.pages import page_size as checked_size
from herdbook.core.ports import Work
from herdbook.core.refs import VersionRef, version_ref
from herdbook.core.wire import dumps, plain
from herdbook.errors import Conflict, Cycle, Immutable, Invalid
from herdbook.services import artifacts, deployments, evaluations, models
from herdbook.services.gates import check_signed
from herdbook.services.models import About, differs, retagged
from herdbook.services.policies import judged
from herdbook.services.sight import shown, shown_text
from herdbook.services.trying import refuse_in_service


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is said of a version when it is registered or, in draft and training, revised.

    Args:
        number: as it shall be written; "" for the next in the model's own style.
        bump: which part the next number raises; only without `number`.
        status: where its life begins; `production` makes it the champion.
        description: what it is, in a sentence.
        notes: what else to know.
        tags: key to value.
        training: how it was trained.
        files: where its files are.
        parents: references to the versions it came from.
        parent_kind: how it came from them.
        training_data: names of data sets.
        dependencies: what it needs to run.
        metadata: a free JSON object.
        git_commit: the commit that trained it.
        git_dirty: whether that work tree had changes.
        metrics: name to score.
        metrics_source: what scored it.
        metrics_dataset: the data set it was scored on.
        model_type: the model's type, when the model is new or has none.
        owner: the model's owner, likewise.
        artifacts: its files, whose bytes the store has; empty when it is registered without.
        risks: what the door found when it looked into them; None when it did not look.
    """

    number: str = ""
    bump: Bump | None = None
    status: Status = Status.DEVELOPMENT
    description: str = ""
    notes: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    training: Training = field(default_factory=Training)
    files: tuple[FileLocation, ...] = ()
    parents: tuple[str, ...] = ()
    parent_kind: ParentKind = ParentKind.FINE_TUNE
    training_data: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    git_commit: str = ""
    git_dirty: bool | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    metrics_source: str = ""
    metrics_dataset: str = ""
    model_type: str = ""
    owner: str = ""
    artifacts: tuple[Artifact, ...] = ()
    risks: tuple[Risk, ...] | None = None


def register(work: Work, model: str, *, draft: Draft) -> Version:
    """Register a version, and its model when that is new.

    Raises:
        AlreadyExists: the number is taken, by a deleted version too.
        NotFound: a parent is not there.
        Conflict: the model has another type or owner.
        Refused: the model's file policy does not take one of its files.
    """
    work.by.allow(Action.WRITE, names.model_name(model))
    if draft.status is Status.PRODUCTION:
        work.by.allow(Action.DEPLOY, model)
    if draft.status in {Status.DEPRECATED, Status.ARCHIVED}:
        raise Invalid(f"a version cannot begin as {draft.status}", field="status")
    entry = models.ensure(work, model, About(type=draft.model_type, owner=draft.owner))
    version = _build(work, model, draft)
    recorded = evaluations.checked(
        version, draft.metrics, work, draft.metrics_source, draft.metrics_dataset
    )
    warnings = judged(entry, draft.risks) if draft.artifacts else ()
    metrics = {metric.name: metric.value for metric in recorded}
    scored = replace(version, metrics=metrics, warnings=warnings)
    work.versions.add(scored)
    if scored.facts.manifest:
        work.artifacts.attach(scored)
    body = plain(scored)
    if recorded:
        work.evaluations.add(version, recorded)
        body["scores"] = plain(recorded)
    work.models.save(
        replace(entry, versions=entry.versions + 1, latest=version.number, updated_at=work.now())
    )
    work.record(Change(action="version.registered", model=model, number=version.number, body=body))
    if draft.status is Status.PRODUCTION:
        check_signed(work, entry, scored, new=True)
        deployments.promote(work, version.ref, reason="registered into production")
        return work.versions.get(VersionRef(model, version.number))
    return scored


def _build(work: Work, model: str, draft: Draft) -> Version:
    number = _number(work, model, draft)
    facts = _facts(work, draft, child=f"{model}:{number}")
    begins = Status.STAGING if draft.status is Status.PRODUCTION else draft.status
    now = work.now()
    return Version(
        model=model,
        number=number,
        ordinal=work.versions.take_ordinal(model),
        status=begins,
        facts=facts,
        digest=facts_digest(model, number, dumps(facts)),
        description=names.prose(draft.description, field="description"),
        notes=names.prose(draft.notes, field="notes"),
        tags=names.tags(draft.tags),
        created_at=now,
        created_by=work.by.name,
        updated_at=now,
    )


def _number(work: Work, model: str, draft: Draft) -> str:
    if draft.number:
        if draft.bump is not None:
            raise Invalid("give a number or a bump, not both", field="bump")
        return Number(draft.number).text
    highest = work.versions.highest(model)
    if highest is None:
        return FIRST.text
    return highest.next(draft.bump).text


def _facts(work: Work, draft: Draft, *, child: str) -> Facts:
    parents = []
    for text in draft.parents:
        ref = version_ref(text)
        if str(ref) == child:
            raise Invalid(f"{child} cannot be its own parent", field="parents")
        work.by.allow(Action.READ, ref.model)
        found = work.versions.get(ref)
        parents.append(Parent(model=found.model, number=found.number, kind=draft.parent_kind))
    return Facts(
        training=draft.training,
        files=draft.files,
        parents=tuple(parents),
        datasets=draft.training_data,
        dependencies=draft.dependencies,
        metadata=names.metadata(draft.metadata),
        git_commit=draft.git_commit,
        git_dirty=draft.git_dirty,
        manifest=artifacts.adopted(work, draft.artifacts),
    )


def get(work: Work, ref: str | VersionRef) -> Version:
    """Give a version by number, alias or `latest`, without parents the actor may not read."""
    found = version_ref(ref)
    work.by.allow(Action.READ, found.model)
    return shown(work, work.versions.get(found))


def text(work: Work, ref: str | VersionRef) -> str:
    """Give a version as JSON text, undecoded: the quickest way to one that is only passed on."""
    found = version_ref(ref)
    work.by.allow(Action.READ, found.model)
    return shown_text(work, work.versions.text(found))


def locked(work: Work, ref: str | VersionRef, *, action: Action) -> Version:
    """Give a version to be changed, its model locked."""
    found = version_ref(ref)
    work.by.allow(action, found.model)
    work.models.lock(found.model)
    return work.versions.get(found)


def page(
    work: Work,
    *,
    model: str = "",
    filter: str = "",
    page_size: int = PAGE_DEFAULT,
    page: str | None = None,
) -> Page[Version]:
    """Give the versions a filter finds, of one model or of all."""
    if model:
        models.get(work, model)
    query = search.version_query(filter)
    found = work.versions.page(query, model=model or None, size=checked_size(page_size), page=page)
    return replace(found, items=tuple(shown(work, version) for version in found.items))


def texts(
    work: Work,
    *,
    model: str = "",
    filter: str = "",
    page_size: int = PAGE_DEFAULT,
    page: str | None = None,
) -> Page[str]:
    """Give what `page` does as JSON texts, undecoded."""
    if model:
        models.get(work, model)
    query = search.version_query(filter)
    found = work.versions.page_texts(
        query, model=model or None, size=checked_size(page_size), page=page
    )
    if work.by.sees_all():
        return found
    return replace(found, items=tuple(shown_text(work, text) for text in found.items))


def annotate(work: Work, ref: str | VersionRef, *, about: About) -> Version:
    """Change the description, notes and tags of a version; never what it is."""
    found = locked(work, ref, action=Action.WRITE)
    of_model = (about.type, about.owner, about.metadata, about.file_policy, about.trusted_keys)
    if any(value is not None for value in of_model):
        raise Immutable(
            "type, owner, file policy and trusted keys are the model's, and the metadata of "
            f"{found.ref} is part of what it is; use tags or notes",
            field="about",
        )
    changed = replace(
        found,
        description=names.prose(
            found.description if about.description is None else about.description,
            field="description",
        ),
        notes=names.prose(found.notes if about.notes is None else about.notes, field="notes"),
        tags=retagged(found.tags, about),
    )
    return _saved(work, found, changed, action="version.updated")


def revise(work: Work, ref: str | VersionRef, *, draft: Draft) -> Version:
    """Complete the facts of a version in draft or training; sealed ones are Immutable.

    What the draft leaves at its default is kept.
    """
    found = locked(work, ref, action=Action.WRITE)
    if found.sealed:
        raise Immutable(
            f"{found.ref} is {found.status}: what it is no longer changes; register a new "
            "version, or put what you know about it in tags, notes and metrics",
            field="status",
        )
    _refuse_beyond_facts(draft)
    given = _facts(work, draft, child=found.ref)
    if given.parents:
        work.lineage.lock()
        _refuse_cycle(work, found, given.parents)
    kept = Facts()
    new = {
        name: getattr(given, name)
        for name in (f for f in Facts.__dataclass_fields__ if f != "training")
        if getattr(given, name) != getattr(kept, name)
    }
    training = {
        name: getattr(given.training, name)
        for name in Training.__dataclass_fields__
        if getattr(given.training, name) != getattr(Training(), name)
    }
    facts = replace(found.facts, **new, training=replace(found.facts.training, **training))
    digest = facts_digest(found.model, found.number, dumps(facts))
    changed = replace(found, facts=facts, digest=digest)
    if given.manifest:
        changed = replace(changed, warnings=judged(work.models.get(found.model), draft.risks))
    revised = _saved(work, found, changed, action="version.revised")
    if given.manifest:
        work.artifacts.attach(changed)
    return revised


def _refuse_beyond_facts(draft: Draft) -> None:
    known = {"training_data", "parent_kind", "artifacts", "risks", *Facts.__dataclass_fields__}
    for name in Draft.__dataclass_fields__.keys() - known:
        if getattr(draft, name) != getattr(Draft(), name):
            raise Invalid(
                f"{name} is no part of what a version is; a revision completes that alone. "
                "Change it with its own verb: update, score or status",
                field=name,
            )


def _refuse_cycle(work: Work, version: Version, parents: tuple[Parent, ...]) -> None:
    below = {relative.ref for relative in work.lineage.descendants(version, depth=DEPTH_LIMIT)}
    for parent in parents:
        if parent.ref in below | {version.ref}:
            raise Cycle(
                f"{parent.ref} descends from {version.ref}; it cannot be its parent too",
                field="parents",
            )


def set_status(work: Work, ref: str | VersionRef, *, status: Status, reason: str = "") -> Version:
    """Move a version along its life; into production makes it the champion."""
    if status is Status.PRODUCTION:
        moved = deployments.promote(work, ref, reason=reason)
        return shown(work, work.versions.get(VersionRef(moved.model, moved.to_number)))
    found = locked(work, ref, action=Action.WRITE)
    names.prose(reason, field="reason")
    if found.status is Status.PRODUCTION:
        raise Conflict(
            f"{found.ref} is the champion of {found.model}; promote another version or roll "
            "back, then it leaves production by itself",
            field="status",
        )
    check_transition(found.ref, found.status, status)
    if status is Status.ARCHIVED:
        refuse_in_service(work, found, field="status")
    changed = replace(found, status=status, updated_at=work.now())
    work.versions.save(changed)
    body = {"from": str(found.status), "to": str(status), "reason": reason}
    if found.status in UNSEALED and status not in UNSEALED:
        body["sealed"] = found.digest
    work.record(Change(action="version.status", model=found.model, number=found.number, body=body))
    return shown(work, changed)


def _saved(work: Work, found: Version, changed: Version, *, action: str) -> Version:
    if changed == found:
        return shown(work, found)
    changed = replace(changed, updated_at=work.now())
    work.versions.save(changed)
    body = {"was": differs(found, changed), "is": differs(changed, found)}
    work.record(Change(action=action, model=found.model, number=found.number, body=body))
    return shown(work, changed)


def delete(work: Work, ref: str | VersionRef, *, reason: str = "") -> Version:
    """Delete a version: hidden behind a tombstone, its number never given again."""
    found = locked(work, ref, action=Action.DEPLOY)
    names.prose(reason, field="reason")
    refuse_in_service(work, found, field="ref")
    gone = replace(found, updated_at=work.now())
    work.versions.remove(gone, by=work.by.name, reason=reason)
    _recount(work, found.model, -1)
    said = {"reason": reason}
    work.record(Change(action="version.deleted", model=found.model, number=found.number, body=said))
    return shown(work, found)


def restore(work: Work, ref: str | VersionRef) -> Version:
    """Take a deleted version back."""
    wanted = version_ref(ref)
    work.by.allow(Action.DEPLOY, wanted.model)
    work.models.lock(wanted.model)
    found = work.versions.restore(wanted)
    _recount(work, found.model, 1)
    work.record(Change(action="version.restored", model=found.model, number=found.number, body={}))
    return shown(work, found)


def _recount(work: Work, model: str, by: int) -> None:
    found = work.models.get(model)
    work.models.save(
        replace(
            found,
            versions=found.versions + by,
            latest=work.versions.latest(model),
            updated_at=work.now(),
        )
    )
