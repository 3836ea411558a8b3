"""Collections of documents: made, adopted, opened, and proven to be what they are said to be."""

import uuid
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from herdbook.core.documents import Bridge, Collection
from herdbook.core.refs import VersionRef, version_ref
from herdbook.core.spaces import EncoderSpec
from herdbook.core.vectors import Place, Vectors
from herdbook.errors import Conflict, Invalid, NotFound
from herdbook.front.artifacts import Artifacts
from herdbook.front.documents import Documents
from herdbook.front.door import Door
from herdbook.front.moving import bridging, stamping
from herdbook.front.moving.aiming import require_free
from herdbook.front.moving.carrying import Register
from herdbook.front.moving.choosing import Named, absolute, alias_of, place_of, spec_of
from herdbook.front.moving.collections import OpenCollection
from herdbook.front.moving.opening import Opener
from herdbook.front.moving.proving import Demands
from herdbook.front.moving.strategies import Strategies

if TYPE_CHECKING:
    from herdbook.front.models import Versions


class HeldDocuments(Documents, Strategies):
    """Collections of documents in their stores, and the strategies of this process.

    Args:
        door: asks the register.
        artifacts: where the files of encoders come from.
        versions: what a reference points at.
        again: opens the register in another process; None where that cannot be.
    """

    def __init__(
        self,
        door: Door,
        *,
        artifacts: Artifacts,
        versions: "Versions",
        again: Callable[[], Register] | None = None,
    ) -> None:
        Documents.__init__(self, door)
        Strategies.__init__(self)
        self._versions = versions
        self._again = again
        self._opener = Opener(lambda: artifacts)
        # What is open here is told at once of what is done here.
        self._open: weakref.WeakSet[OpenCollection] = weakref.WeakSet()

    # --- collections ---

    def create(
        self,
        name: str,
        *,
        ref: str,
        store: str,
        encoder: Named = None,
        collection: str = "",
        **options: Any,
    ) -> OpenCollection:
        """Make a collection in a store, register it and open it.

        Args:
            name: its name in the register.
            ref: the version that embeds it, such as `gbert:v1`.
            store: the address of the store.
            encoder: a function, `https://host/v1` or an `EncoderSpec`; left out, the version's
                own files.
            collection: its name in the store; left out, the same.
            options: of the encoder: `prefix`, `query_prefix`, `pooling`, `chunker`, `batch`,
                `price_per_million_tokens`, `remote_model`, `dimension`, `normalize`.

        Raises:
            AlreadyExists: the name is taken.
            Conflict: there is one in the store, of another dimension or with documents.
        """
        version = self._numbered(version_ref(ref))
        spec = spec_of(encoder, version, self._opener, **options)
        made = self._opener.encoder(spec)
        address = absolute(store)
        opened = self._opener.store(address)
        place = Place(collection=collection) if collection else place_of(name)
        require_free(self, address, place)
        shape = opened.look(place)
        if shape is not None and shape.documents:
            raise Conflict(
                f"{place} in {address} holds {shape.documents:,} documents already: register it as "
                f"it is with `adopt`, and prove what embedded them with `stamp`",
                field="collection",
            )
        opened.create(place, dimension=made.space.dimension)
        self.register(
            name,
            model=version.model,
            store=address,
            place=place,
            encoder=spec,
            space=made.space,
        )
        self._follow(name, opened, place)
        return self.open(name)

    def adopt(
        self, name: str, *, model: str, store: str, collection: str = "", field: str = ""
    ) -> Collection:
        """Register a collection that is in a store; what embedded it is unknown until `stamp`.

        Raises:
            NotFound: there is none in the store.
        """
        address = absolute(store)
        opened = self._opener.store(address)
        place = replace(Place(collection=collection) if collection else place_of(name), field=field)
        if opened.look(place) is None:
            there = ", ".join(opened.collections()[:20]) or "none"
            raise NotFound(
                f"there is no {place} in {address}; there are: {there}", field="collection"
            )
        require_free(self, address, place)
        return self.register(name, model=model, store=address, place=place)

    def open(self, name: str, *, encoder: Named = None) -> OpenCollection:
        """Open a collection, to write and to search it.

        Args:
            name: its name in the register.
            encoder: a function of this process, where the collection was made with one that
                nothing else can import.

        Raises:
            NotFound: there is none.
            Conflict: the encoder is not of the collection's space.
        """
        found = self.get(name)
        spec = found.home.encoder
        if encoder is not None and spec is not None:
            self._opener.give(spec, encoder)
        made = OpenCollection(found.name, documents=self, opener=self._opener, strategies=self)
        self._open.add(made)
        return made

    def inspect(self, name: str) -> stamping.Inspected:
        """Look at what is in a collection: spaces, texts, histories."""
        found = self.get(name)
        return stamping.inspected(self._opener.store(found.store), found.home.place)

    def stamp(  # noqa: PLR0913 - how it is proven
        self,
        name: str,
        *,
        ref: str = "",
        encoder: Named = None,
        sampled: int = 64,
        every: bool = False,
        dry_run: bool = False,
        said: Callable[[int], None] | None = None,
        **options: Any,
    ) -> stamping.Stamped:
        """Prove what embedded a collection's documents, and stamp those that carry no stamp.

        Nothing else may write it meanwhile.

        Args:
            name: the collection.
            ref: the version that is said to have embedded it; left out, the one it is at.
            encoder: as for `create`.
            sampled: how many documents are embedded again.
            every: embed every one again, and stamp only those that come out the same.
            dry_run: write nothing.
            said: told how many documents were looked at.
            options: of the encoder.

        Raises:
            Refused: the sample is not of that encoder; nothing was written.
            Conflict: it is known to be of another.
        """
        found = self.get(name)
        spec = self._said_spec(found, ref, encoder, options)
        made = self._opener.encoder(spec)
        known = found.home.space
        if known is not None and known.fingerprint != made.space.fingerprint:
            raise Conflict(
                f"{name} is known to be in the space {known}, this is {made.space}: migrate it "
                "instead",
                field="encoder",
            )
        store = self._opener.store(found.store)
        done = stamping.stamped(
            store,
            found.home.place,
            made,
            write=f"stamp-{uuid.uuid4().hex[:12]}",
            sampled=sampled,
            every=every,
            dry_run=dry_run,
            tick=said or _unticked,
        )
        if not dry_run and known is None and (done.proof.holds or done.stamped):
            self.identify(name, encoder=spec, space=made.space)
            self._follow(name, store, found.home.place)
        return done

    def _said_spec(
        self, found: Collection, ref: str, encoder: Named, options: dict[str, Any]
    ) -> EncoderSpec:
        known = found.home.encoder
        if not ref and encoder is None and known is not None:
            return known
        if isinstance(encoder, EncoderSpec):
            return encoder
        if not ref and known is None:
            raise Invalid(
                f"say which version embedded {found.name}, such as {found.model}:v1", field="ref"
            )
        said = version_ref(ref or f"{found.model}:{known.number if known else ''}")
        return spec_of(encoder, self._numbered(said), self._opener, **options)

    def _numbered(self, ref: VersionRef) -> VersionRef:
        version = self._versions.get(str(ref))
        return VersionRef(version.model, version.number)

    def _follow(self, name: str, store: Vectors, place: Place) -> None:
        for each in self._open:
            each.forget()
        if store.traits.aliases:
            store.point(alias_of(name), place)

    # --- bridges ---

    def bridge(self, name: str, bridge: Bridge) -> Collection:
        """Let queries pass a bridge; see `Documents.bridge`. What is open here hears at once."""
        return self._told(super().bridge(name, bridge))

    def unbridge(self, name: str) -> Collection:
        """Take the bridge away; see `Documents.unbridge`."""
        return self._told(super().unbridge(name))

    def _told(self, found: Collection) -> Collection:
        for each in self._open:
            each.forget()
        return found

    def build_bridge(  # noqa: PLR0913 - what is asked
        self,
        name: str,
        *,
        to: str,
        demands: Demands,
        encoder: Named = None,
        pairs: int = 2_000,
        days: float = 14.0,
        kinds: Sequence[str] = (),
        dry_run: bool = False,
        **more: Any,
    ) -> bridging.Built:
        """Let queries of a newer version search the vectors that are there, if that is better.

        Args:
            name: the collection.
            to: the version whose queries are to pass.
            demands: the labelled queries it is measured on.
            encoder: as for `create`.
            pairs: on how many documents maps are fitted.
            days: after how many it is used no more.
            kinds: of maps that are tried; left out, all.
            dry_run: measure only.
            more: of the encoder.

        Raises:
            Refused: none beats both staying with the old version and doing nothing.
        """
        found = self.get(name)
        home = found.home
        if home.encoder is None or home.space is None:
            raise Conflict(f"nobody knows what embedded {name}", field="name")
        said = f"{found.model}{to}" if to.startswith("@") else f"{found.model}:{to}"
        spec = spec_of(encoder, self._numbered(version_ref(said)), self._opener, **more)
        done = bridging.built(
            self._opener.store(found.store),
            found,
            spec,
            old=self._opener.encoder(home.encoder),
            new=self._opener.encoder(spec),
            demands=demands,
            now=datetime.now(UTC),
            pairs=pairs,
            days=days,
            kinds=kinds,
        )
        if not dry_run:
            self.bridge(name, bridging.require(done))
        return done

    def close(self) -> None:
        """Close the stores."""
        self._opener.close()


def _unticked(_: int) -> None:
    """Say nothing."""
