"""Register collections of documents, and say what embeds them."""

import re
from dataclasses import replace
from typing import Final

from herdbook.core import names
from herdbook.core.access import Action
from herdbook.core.documents import ADDRESS_LIMIT, Bridge, Collection, Home, collection_name
from herdbook.core.events import Change
from herdbook.core.pages import PAGE_DEFAULT, Page
from herdbook.core.pages import page_size as checked_size
from herdbook.core.ports import Work
from herdbook.core.refs import VersionRef
from herdbook.core.spaces import EncoderSpec, Space
from herdbook.core.vectors import Place
from herdbook.core.wire import plain
from herdbook.errors import AlreadyExists, Conflict, Invalid

MAP_LIMIT: Final = 64 * 1024 * 1024
# What names a secret where an address has options: `?password=`, `&api_key=`, `&sslpassword=`.
_SECRET: Final = re.compile(
    r"[?&;][^=&;]*(?:password|passwd|pwd|secret|token|(?:api|access)[_-]?key)[^=&;]*=", re.I
)


def register(  # noqa: PLR0913 - what is known of a collection
    work: Work,
    name: str,
    *,
    model: str,
    store: str,
    place: Place,
    encoder: EncoderSpec | None = None,
    space: Space | None = None,
) -> Collection:
    """Register a collection.

    Args:
        work: the unit of work.
        name: unique in the register.
        model: the model whose versions embed it.
        store: the address of its vector store, without secrets.
        place: where in it the vectors lie.
        encoder: how what embeds is opened; None for vectors of which nobody knows.
        space: what they are in, as measured from the encoder.

    Raises:
        AlreadyExists: the name is taken.
        NotFound: there is no such version.
    """
    work.by.allow(Action.WRITE, names.model_name(model))
    work.models.lock(model)
    made = Collection(
        name=collection_name(name),
        model=model,
        store=checked_address(store),
        home=_home(work, model, place, encoder, space),
        created_at=work.now(),
        created_by=work.by.name,
    )
    work.documents.add(made)
    check_free(work, made.store, place, but=made.name)
    tell(work, made, action="documents.registered", body={"home": plain(made.home)})
    return made


def check_free(work: Work, store: str, place: Place, *, but: str = "") -> None:
    """Refuse a place that is another collection's: two would mix their vectors.

    Raises:
        Conflict: it is.
    """
    for other in work.documents.in_store(store):
        if other.name != but and any(home.place == place for home in other.homes):
            raise Conflict(
                f"{place} in {store} is registered as a collection already"
                + (f" ({other.name})" if work.by.sees_all() else ""),
                field="place",
            )


def checked_address(store: str) -> str:
    """Check the address of a vector store; Invalid when it holds a secret."""
    names.line(store, field="store", limit=ADDRESS_LIMIT)
    _, _, rest = store.partition("://")
    # A password may hold a slash, so what is before the first @ counts, wherever that is.
    before, at, _ = rest.partition("?")[0].partition("@")
    if (at and ":" in before) or _SECRET.search(store):
        raise Invalid(
            "the register keeps no passwords; leave it out of the store's address and give it in "
            "the environment (PGPASSWORD or a password file, QDRANT_API_KEY)",
            field="store",
        )
    return store


def check_source(encoder: EncoderSpec) -> None:
    """Refuse an encoder whose address holds a secret."""
    if _SECRET.search(encoder.source):
        raise Invalid(
            "the register keeps no secrets; leave the key out of the encoder's address and give it "
            "in HERDBOOK_EMBEDDING_KEY",
            field="encoder",
        )


def _home(
    work: Work, model: str, place: Place, encoder: EncoderSpec | None, space: Space | None
) -> Home:
    for said in (encoder, space):
        if said is not None and said.model != model:
            raise Invalid(f"{said.model} does not embed for {model}", field="encoder")
    if space is not None and encoder is None:
        raise Invalid("a space is known from an encoder; name it", field="encoder")
    if encoder is not None:
        check_source(encoder)
        found = work.versions.get(VersionRef(model, encoder.number))
        encoder = replace(encoder, number=found.number)
        space = replace(space, number=found.number) if space else None
    return Home(place=place, encoder=encoder, space=space)


def identify(
    work: Work, name: str, *, encoder: EncoderSpec, space: Space, replace_known: bool = False
) -> Collection:
    """Say what embedded a collection of which that was not known, once a sample has proven it.

    Raises:
        Conflict: it is known to be in another space, or a migration is under way.
    """
    found = _locked(work, name)
    known = found.home.space
    if known is not None and known.fingerprint != space.fingerprint and not replace_known:
        raise Conflict(
            f"{name} is in the space {known}, this is {space}: migrate its documents "
            f"(`herdbook documents migrate {name} --to {space.number}`)",
            field="space",
        )
    if found.migration:
        raise _busy(found)
    home = _home(work, found.model, found.home.place, encoder, space)
    # A bridge that led to what it was thought to be in leads nowhere now.
    stays = known is not None and home.space is not None and known == home.space
    bridge = found.bridge if stays else ""
    changed = replace(found, home=home, bridge=bridge, epoch=found.epoch + 1)
    work.documents.save(changed)
    if found.bridge and not bridge:
        work.documents.set_bridge(name, None)
    tell(work, changed, action="documents.identified", body={"home": plain(home)})
    return changed


def get(work: Work, name: str) -> Collection:
    """Give a collection: where it lies, and what embeds its queries."""
    return work.documents.get(names.key(name, field="name"))


def page(
    work: Work, *, model: str | None = None, size: int = PAGE_DEFAULT, page: str | None = None
) -> Page[Collection]:
    """Give collections by name.

    Args:
        work: the unit of work.
        model: only those its versions embed.
        size: at most so many.
        page: `next` of the page before.
    """
    if model is not None:
        work.models.get(names.model_name(model))
    return work.documents.page(model=model, size=checked_size(size), page=page)


def remove(work: Work, name: str) -> Collection:
    """Take a collection out of the register; what is in the store stays as it is.

    Raises:
        Conflict: a migration of it is under way.
    """
    found = _locked(work, name)
    if found.migration:
        raise _busy(found)
    work.documents.remove(found)
    tell(work, found, action="documents.removed", body={"store": found.store})
    return found


def bridging(work: Work, name: str) -> Page[Bridge]:
    """Give the bridge of a collection, while it is in use and not expired; else nothing."""
    found = work.documents.get(names.key(name, field="name"))
    bridge = work.documents.bridge(name) if found.bridge else None
    space = found.home.space
    if bridge is None or space is None or bridge.expires_at <= work.now():
        return Page(items=())
    return Page(items=(bridge,) if bridge.onto == space.fingerprint else ())


def bridge(work: Work, name: str, *, bridge: Bridge) -> Collection:
    """Let queries of a newer version pass a map to the vectors that are there.

    It takes the place of another one. The caller has shown that it beats both staying and doing
    nothing; its scores say by how much.

    Raises:
        Conflict: the vectors are in another space than it leads to.
        Invalid: it is expired, or its scores do not say that it is better.
    """
    found = _locked(work, name, Action.DEPLOY)
    home = found.home.space
    if home is None or home.fingerprint != bridge.onto or bridge.collection != name:
        raise Conflict(f"the bridge does not lead to the space {name} is in", field="bridge")
    if bridge.expires_at <= work.now():
        raise Invalid("the bridge is expired; fit it anew", field="expires_at")
    if len(bridge.map) > MAP_LIMIT:
        raise Invalid(f"a map has at most {MAP_LIMIT} characters", field="map")
    worst = max(bridge.scores.get("old", 1.0), bridge.scores.get("identity", 0.0))
    if not bridge.scores.get("bridge", 0.0) > worst:
        raise Invalid(
            f"the bridge does not beat what is there: its scores are {bridge.scores}",
            field="scores",
        )
    mark = f"{bridge.space.fingerprint[:16]}-{work.now():%Y%m%d%H%M%S%f}"
    changed = replace(found, bridge=mark, epoch=found.epoch + 1)
    work.documents.set_bridge(name, bridge)
    work.documents.save(changed)
    body = {name: value for name, value in plain(bridge).items() if name != "map"}
    tell(work, changed, action="documents.bridged", body=body)
    return changed


def unbridge(work: Work, name: str) -> Collection:
    """Take the bridge of a collection away; queries are embedded as its documents are."""
    found = _locked(work, name, Action.DEPLOY)
    if not found.bridge:
        return found
    changed = replace(found, bridge="", epoch=found.epoch + 1)
    work.documents.set_bridge(name, None)
    work.documents.save(changed)
    tell(work, changed, action="documents.unbridged", body={"bridge": found.bridge})
    return changed


def _locked(work: Work, name: str, action: Action = Action.WRITE) -> Collection:
    found = work.documents.get(names.key(name, field="name"))
    work.by.allow(action, found.model)
    return work.documents.lock(found.name)


def _busy(found: Collection) -> Conflict:
    return Conflict(
        f"{found.migration} of {found.name} is under way; finish it or roll it back first "
        f"(`herdbook documents rollback {found.name}`)",
        field="name",
    )


def taken(name: str) -> AlreadyExists:
    """Say that a collection's name is taken, without telling by whom."""
    return AlreadyExists(f"a collection {name} is registered already", field="name")


def tell(work: Work, found: Collection, *, action: str, body: dict[str, object]) -> None:
    """Record what became of a collection."""
    number = found.home.space.number if found.home.space else ""
    told = {"collection": found.name, **body}
    work.record(Change(action=action, model=found.model, number=number, body=told))
