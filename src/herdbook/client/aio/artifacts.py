"""`herdbook.front.artifacts`, awaited: bytes move in a thread, the event loop goes on."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, Unpack

import anyio.to_thread

from herdbook.core.artifacts import Files, Signatures
from herdbook.core.blobs import Said, silent
from herdbook.core.housekeeping import Collected, Verified
from herdbook.front.artifacts import Artifacts, Pushed, Sign
from herdbook.front.bundling import Carried
from herdbook.front.models import Registration
from herdbook.front.pulling import Pulled, Trust
from herdbook.storage.bundles import Written
from herdbook.storage.slots import Staged

T = TypeVar("T")


class AsyncArtifacts:
    """The bytes of versions; each method is that of `Artifacts`.

    Args:
        opened: gives the front that moves them; asked once, when it is needed.
    """

    def __init__(self, opened: Callable[[], Artifacts]) -> None:
        self._opened = opened

    async def _run(self, name: str, *given: Any, **more: Any) -> Any:
        return await anyio.to_thread.run_sync(
            partial(getattr(self._opened(), name), *given, **more)
        )

    async def push(
        self,
        model: str,
        number: str = "",
        *,
        path: str | os.PathLike[str],
        roles: Mapping[str, str] | None = None,
        sign: Sign | None = None,
        said: Said = silent,
        **facts: Unpack[Registration],
    ) -> Pushed:
        """Store the files of a folder and register them as a version."""
        given: dict[str, Any] = {"path": path, "roles": roles, "sign": sign, "said": said, **facts}
        found: Pushed = await self._run("push", model, number, **given)
        return found

    async def files(self, ref: str) -> Files:
        """Give the files of a version."""
        found: Files = await self._run("files", ref)
        return found

    async def pulled(
        self,
        ref: str,
        to: str | os.PathLike[str] | None = None,
        *,
        link: bool | None = None,
        trust: Trust | None = None,
        said: Said = silent,
    ) -> Pulled:
        """Give a folder with exactly the files of a version, and tell how they came there."""
        found: Pulled = await self._run("pulled", ref, to, link=link, trust=trust, said=said)
        return found

    async def pull(self, ref: str, to: str | os.PathLike[str] | None = None, **how: Any) -> Any:
        """Give a folder with exactly the files of a version."""
        return (await self.pulled(ref, to, **how)).path

    async def stage(self, ref: str, slot: str, *, to: str | os.PathLike[str]) -> Staged:
        """Put a version into a slot beside the one services read."""
        found: Staged = await self._run("stage", ref, slot, to=to)
        return found

    async def sign(self, ref: str, signature: str) -> Files:
        """Keep a signature of a version."""
        found: Files = await self._run("sign", ref, signature)
        return found

    async def signatures(self, ref: str) -> Signatures:
        """Give the signatures of a version."""
        found: Signatures = await self._run("signatures", ref)
        return found

    async def export(
        self, refs: Sequence[str], to: str | os.PathLike[str], *, said: Said = silent
    ) -> Written:
        """Write versions with their bytes into one archive."""
        found: Written = await self._run("export", refs, to, said=said)
        return found

    async def load(self, path: str | os.PathLike[str], *, said: Said = silent) -> list[Carried]:
        """Register the versions of an archive."""
        found: list[Carried] = await self._run("load", path, said=said)
        return found

    async def collect(self, *, grace_hours: float = 24.0, dry_run: bool = False) -> Collected:
        """Remove blobs that no version holds and nobody is about to need."""
        found: Collected = await self._run("collect", grace_hours=grace_hours, dry_run=dry_run)
        return found

    async def verify(
        self, ref: str = "", *, read_percent: float = 0.0, remove: bool = False
    ) -> Verified:
        """Look for every blob, of a version or of all, and recompute the manifests."""
        found: Verified = await self._run("verify", ref, read_percent=read_percent, remove=remove)
        return found
