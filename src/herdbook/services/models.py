"""Register models, look them up, change what is known about them."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from herdbook.core import filters, names, search
from herdbook.core.access import Action
from herdbook.core.events import Change
from herdbook.core.models import FilePolicy, Model, Version
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.pages import page_size as checked_size
from herdbook.core.ports import Work
from herdbook.core.refs import CHAMPION
from herdbook.core.wire import plain
from herdbook.errors import AlreadyExists, Conflict, Gone, NotFound
from herdbook.services.trying import refuse_tried


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Changes to what is known about a model or a version; None leaves a field as it is.

    Args:
        description: what it is, in a sentence.
        notes: what else to know.
        type: a model's type.
        owner: a model's owner.
        metadata: a model's free metadata.
        tags: tags to set; others stay.
        untag: tags to take away.
        file_policy: what a model does about files that can execute when they are loaded.
        trusted_keys: a model's trusted keys, all of them; () for none.
    """

    description: str | None = None
    notes: str | None = None
    type: str | None = None
    owner: str | None = None
    metadata: Mapping[str, object] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    untag: tuple[str, ...] = ()
    file_policy: FilePolicy | None = None
    trusted_keys: tuple[str, ...] | None = None


_CHANGED = (
    "description",
    "notes",
    "type",
    "owner",
    "metadata",
    "file_policy",
    "trusted_keys",
)


def create(work: Work, model: str, *, about: About | None = None) -> Model:
    """Register a model that has no version yet."""
    work.by.allow(Action.WRITE, names.model_name(model))
    _refuse_policy(work, model, about)
    return begin(work, model, about or About())


def begin(work: Work, name: str, about: About) -> Model:
    """Add a model without asking again whether the actor may."""
    now = work.now()
    made = Model(
        name=name,
        type=about.type or "",
        owner=about.owner or "",
        description=about.description or "",
        notes=about.notes or "",
        tags=names.tags(about.tags),
        metadata=names.metadata(about.metadata or {}),
        created_at=now,
        created_by=work.by.name,
        updated_at=now,
        file_policy=about.file_policy,
        trusted_keys=about.trusted_keys or (),
    )
    work.models.add(made)
    work.record(Change(action="model.registered", model=name, body=plain(made)))
    return made


def ensure(work: Work, name: str, about: About) -> Model:
    """Give a model locked, added when it is not there, its empty type and owner filled in.

    Raises:
        Conflict: it has another type or owner.
    """
    try:
        entry = work.models.lock(name)
    except Gone:
        raise
    except NotFound:
        entry = _begun(work, name, about)
    for field_, there, given in (
        ("type", entry.type, about.type),
        ("owner", entry.owner, about.owner),
    ):
        if there and given and there != given:
            raise Conflict(
                f"{field_} of {name} is {there}, not {given}; leave it out, or change it with "
                f"`herdbook models update {name} --{field_} {shlex.quote(given)}`",
                field="model_type" if field_ == "type" else field_,
            )
    return replace(
        entry, type=entry.type or about.type or "", owner=entry.owner or about.owner or ""
    )


def _begun(work: Work, name: str, about: About) -> Model:
    try:
        begin(work, name, about)
    except AlreadyExists:
        # Another work may have begun it meanwhile; only another spelling is an error.
        if not work.models.exists(name):
            raise
    return work.models.lock(name)


def get(work: Work, model: str) -> Model:
    """Give a model."""
    work.by.allow(Action.READ, names.model_name(model))
    return work.models.get(model)


def page(
    work: Work,
    *,
    filter: str = "",
    model_type: str = "",
    page_size: int = PAGE_DEFAULT,
    page: str | None = None,
) -> Page[Model]:
    """Give the models a filter finds."""
    query = _asked(filter, model_type)
    return work.models.page(query, size=checked_size(page_size), page=page)


def texts(
    work: Work,
    *,
    filter: str = "",
    model_type: str = "",
    page_size: int = PAGE_DEFAULT,
    page: str | None = None,
) -> Page[str]:
    """Give what `page` does as JSON texts, undecoded."""
    query = _asked(filter, model_type)
    return work.models.page_texts(query, size=checked_size(page_size), page=page)


def _asked(filter: str, model_type: str) -> filters.Query:
    query = search.model_query(filter)
    return _narrowed(query, "type", model_type) if model_type else query


def _narrowed(query: filters.Query, field: str, value: str) -> filters.Query:
    wanted = filters.Comparison(field, "", filters.Op.EQ, value)
    where = wanted if query.where is None else filters.And((wanted, query.where))
    return replace(query, where=where)


def update(work: Work, model: str, *, about: About) -> Model:
    """Change what is known about a model; its policy and keys only who may also deploy."""
    work.by.allow(Action.WRITE, names.model_name(model))
    _refuse_policy(work, model, about)
    found = work.models.lock(model)
    given = {name: value for name in _CHANGED if (value := getattr(about, name)) is not None}
    if "metadata" in given:
        given["metadata"] = names.metadata(given["metadata"])
    changed = replace(found, **given, tags=retagged(found.tags, about))
    if changed == found:
        return found
    changed = replace(changed, updated_at=work.now())
    work.models.save(changed)
    body = {"was": differs(found, changed), "is": differs(changed, found)}
    work.record(Change(action="model.updated", model=model, body=body))
    return changed


def _refuse_policy(work: Work, model: str, about: About | None) -> None:
    """Refuse to set policy and trust to whom they are meant for: those who may only register."""
    if about is not None and (about.file_policy, about.trusted_keys) != (None, None):
        work.by.allow(Action.DEPLOY, model)


def retagged(tags: Mapping[str, str], about: About) -> dict[str, str]:
    """Give tags with the changes made."""
    kept = {k: v for k, v in tags.items() if k not in about.untag}
    return names.tags(kept | names.tags(about.tags))


def differs(one: Model | Version, other: Model | Version) -> dict[str, object]:
    """Give the fields of `one` that are not the same in `other`."""
    mine, theirs = plain(one), plain(other)
    return {k: v for k, v in mine.items() if v != theirs.get(k) and k != "updated_at"}


def delete(work: Work, model: str, *, reason: str = "") -> Model:
    """Delete a model and its versions: hidden, its name and numbers never given again."""
    work.by.allow(Action.ADMIN, names.model_name(model))
    names.prose(reason, field="reason")
    found = work.models.lock(model)
    if CHAMPION in found.aliases:
        raise Conflict(
            f"{model} {found.champion} is in production; remove the alias champion first",
            field="model",
        )
    refuse_tried(work, model)
    gone = replace(found, updated_at=work.now())
    work.models.remove(gone, by=work.by.name, reason=reason)
    work.record(Change(action="model.deleted", model=model, body={"reason": reason}))
    return found


def restore(work: Work, model: str) -> Model:
    """Take a deleted model back, with the versions it had."""
    work.by.allow(Action.ADMIN, names.model_name(model))
    found = work.models.restore(model)
    work.record(Change(action="model.restored", model=model, body={}))
    return found
