"""See an episode of drift through: who retrains, and which version came of it."""

from dataclasses import replace

from herdbook.core import names
from herdbook.core.access import Action
from herdbook.core.drift import Episode
from herdbook.core.events import Change
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.pages import page_size as checked_size
from herdbook.core.ports import Work
from herdbook.core.refs import VersionRef
from herdbook.errors import Conflict


def episodes(
    work: Work,
    *,
    model: str = "",
    number: str = "",
    page_size: int = PAGE_DEFAULT,
    page: str | None = None,
) -> Page[Episode]:
    """Give episodes of drift, newest first."""
    if model:
        work.by.allow(Action.READ, names.model_name(model))
        work.models.get(model)
    return work.drift.episodes(
        model=model or None,
        number=number or None,
        size=checked_size(page_size),
        page=page,
    )


def claim(
    work: Work, episode: str, *, by: str = "", force: bool = False, alarm: bool = False
) -> Episode:
    """Take a retraining that is asked for: one of those who ask gets it.

    Args:
        work: the unit of work.
        episode: its id.
        by: who takes it; left out, whoever asks.
        force: take it from whoever has it, who may have died.
        alarm: take what is to be done at the alarm instead, such as to call somebody.

    Raises:
        Conflict: no retraining is asked for, or another one has it.
    """
    found = _locked(work, episode)
    taker = names.line(by, field="by", limit=names.KEY_LIMIT) if by else work.by.name
    if found.retrain_at is None and not alarm:
        raise Conflict(
            f"{found.id} asks for no retraining: its score reached {found.peak:.2f}",
            field="episode",
        )
    taken, what = (found.told_by, "alarm") if alarm else (found.claimed_by, "retraining")
    if taken and taken != taker and not force:
        raise Conflict(
            f"{taken} has the {what} of {found.id}; to take it away, say force", field="by"
        )
    changed = replace(found, told_by=taker) if alarm else replace(found, claimed_by=taker)
    work.drift.save_episode(changed)
    return changed


def retrained(work: Work, episode: str, *, candidate: str) -> Episode:
    """Say which version came of a retraining: a child of the one that drifted.

    Raises:
        Conflict: it is no child of it.
    """
    found = _locked(work, episode)
    child = work.versions.get(VersionRef(found.model, candidate))
    parents = {(each.model, each.number) for each in child.facts.parents}
    if (found.model, found.number) not in parents:
        raise Conflict(
            f"{child.ref} is no child of {found.model}:{found.number}, which drifted: register it "
            f"with that as its parent, `herdbook add {found.model} VERSION --parent "
            f"{found.model}:{found.number}`",
            field="candidate",
        )
    changed = replace(found, candidate=child.number)
    work.drift.save_episode(changed)
    work.record(
        Change(
            action="drift.retrained",
            model=child.model,
            number=child.number,
            body={"episode": found.id, "parent": f"{found.model}:{found.number}"},
        )
    )
    return changed


def _locked(work: Work, key: str) -> Episode:
    found = work.drift.episode(names.line(key, field="episode", limit=names.KEY_LIMIT))
    work.by.allow(Action.WRITE, found.model)
    return work.drift.lock_episode(found.id)
