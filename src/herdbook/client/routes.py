"""Which route answers each verb, and how its arguments travel.

A path names its arguments in braces: `{model}` keeps its slashes, `{version}` is the number
or `@alias` of a `ref`. What the path does not take goes into the query of GET and DELETE, or
into the JSON body of the rest.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

from herdbook.core.artifacts import blob_digest
from herdbook.core.refs import VersionRef, version_ref
from herdbook.core.wire import dumps, plain, time_text

_VERSION: Final = "/models/{model}/versions/{version}"
_ALIAS: Final = "/models/{model}/aliases/{alias}"
_DRIFT: Final = _VERSION + "/drift"
_COLLECTION: Final = "/documents/collections/{name}"
_MIGRATION: Final = "/documents/migrations/{migration}"

Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a verb is asked for.

    Args:
        method: the HTTP method.
        path: its path, arguments in braces.
        reshape: changes the arguments into what the route takes, where it names them its way.
    """

    method: str
    path: str
    reshape: Callable[[Arguments], Arguments] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A request, ready to be sent; `long` when its answer may take as long as there are bytes."""

    method: str
    path: str
    body: str | None = None
    long: bool = False


def _about(given: Arguments) -> Arguments:
    about = plain(given.pop("about")) or {}
    # To trust no key is a change; to set no tag is none.
    empty = {"trusted_keys": (None,)}
    return given | {k: v for k, v in about.items() if v not in empty.get(k, (None, {}, []))}


def _named(given: Arguments) -> Arguments:
    return _about(given) | {"name": given["model"]}


def _registration(given: Arguments) -> Arguments:
    said = _told(given["draft"])
    return {"model_name": given["model"], "version": said.pop("number"), **said}


def _facts(given: Arguments) -> Arguments:
    said = _told(given.pop("draft"))
    kept = (
        "training",
        "files",
        "parents",
        "parent_kind",
        "training_data",
        "dependencies",
        "metadata",
        "git_commit",
        "git_dirty",
        "artifacts",
    )
    return given | {name: said[name] for name in kept}


def _told(draft: Any) -> Arguments:
    # What is in the files is for the door at the bytes to say.
    said = _fields(draft)
    said.pop("risks")
    return said


def _target(given: Arguments) -> Arguments:
    ref = version_ref(given.pop("ref"))
    return given | {"model": ref.model, "version": _segment(ref)}


def _planned(given: Arguments) -> Arguments:
    return _fields(given.pop("plan")) | given


def _folded(given: Arguments) -> Arguments:
    return _fields(given["delta"])


def _configured(given: Arguments) -> Arguments:
    return _fields(given.pop("settings")) | given


def _fields(value: object) -> Arguments:
    found: Arguments = plain(value)
    return found


def _started(given: Arguments) -> Arguments:
    return given | {"name": given.pop("collection")}


def _sized(given: Arguments) -> Arguments:
    return given | {"page_size": given.pop("size")}


def _quietly(given: Arguments) -> Arguments:
    return {name: value for name, value in given.items() if name != "said"}


def _everywhere(given: Arguments) -> Arguments:
    return given if given["model"] else {k: v for k, v in given.items() if k != "model"}


ROUTES: Final[dict[str, Route]] = {
    "versions.register": Route("POST", "/models/register", _registration),
    "models.create": Route("POST", "/models", _named),
    "models.get": Route("GET", "/models/{model}"),
    "models.page": Route("GET", "/models"),
    "models.update": Route("PATCH", "/models/{model}", _about),
    "models.delete": Route("DELETE", "/models/{model}"),
    "models.restore": Route("POST", "/models/{model}/restore"),
    "versions.get": Route("GET", _VERSION),
    "versions.page": Route("GET", "/versions", _everywhere),
    "versions.annotate": Route("PATCH", _VERSION, _about),
    "versions.revise": Route("PUT", _VERSION + "/facts", _facts),
    "versions.set_status": Route("POST", _VERSION + "/status"),
    "versions.delete": Route("DELETE", _VERSION),
    "versions.restore": Route("POST", _VERSION + "/restore"),
    "summaries.compare": Route("GET", "/compare"),
    "summaries.best": Route("GET", "/best"),
    "summaries.cheapest": Route("GET", "/cheapest"),
    "summaries.summary": Route("GET", "/summary"),
    "lineage.ancestors": Route("GET", _VERSION + "/ancestors"),
    "lineage.descendants": Route("GET", _VERSION + "/descendants"),
    "lineage.around": Route("GET", _VERSION + "/lineage"),
    "lineage.pedigree": Route("GET", "/models/{model}/lineage"),
    "lineage.data": Route("GET", _VERSION + "/data"),
    "lineage.datasets": Route("GET", "/datasets"),
    "evaluations.score": Route("POST", _VERSION + "/metrics"),
    "evaluations.history": Route("GET", _VERSION + "/metrics"),
    "evaluations.observe": Route("POST", _VERSION + "/observations"),
    "evaluations.operational": Route("GET", _VERSION + "/operational"),
    "deployments.promote": Route("PUT", _ALIAS, _target),
    "deployments.rollback": Route("POST", _ALIAS + "/rollback"),
    "deployments.set_current": Route("POST", _VERSION + "/set-current"),
    "deployments.set_deployed": Route("POST", _VERSION + "/set-deployed"),
    "deployments.switch": Route("POST", _ALIAS + "/switch"),
    "deployments.remove": Route("DELETE", _ALIAS),
    "deployments.alias": Route("GET", _ALIAS),
    "deployments.history": Route("GET", "/deployments/history"),
    "deployments.at": Route("GET", "/deployments"),
    "artifacts.files": Route("GET", _VERSION + "/files"),
    "artifacts.sign": Route("POST", _VERSION + "/signatures"),
    "artifacts.signatures": Route("GET", _VERSION + "/signatures"),
    "artifacts.missing": Route("POST", "/artifacts/missing"),
    "artifacts.inspect": Route("GET", _VERSION + "/contents"),
    "artifacts.changes": Route("GET", "/artifacts/changes"),
    "artifacts.collect": Route("POST", "/artifacts/collect", _quietly),
    "artifacts.verify": Route("POST", "/artifacts/verify", _quietly),
    "drift.page": Route("GET", "/drift"),
    "drift.episodes": Route("GET", "/drift/episodes"),
    "drift.claim": Route("POST", "/drift/episodes/{episode}/claim"),
    "drift.retrained": Route("POST", "/drift/episodes/{episode}/retrained"),
    "drift.watch": Route("PUT", _DRIFT),
    "drift.unwatch": Route("DELETE", _DRIFT),
    "drift.report": Route("GET", _DRIFT),
    "drift.standing": Route("GET", _DRIFT + "/standing"),
    "drift.references": Route("GET", _DRIFT + "/references"),
    "drift.history": Route("GET", _DRIFT + "/history"),
    "drift.distribution": Route("GET", _DRIFT + "/distribution"),
    "drift.label": Route("POST", _DRIFT + "/labels"),
    "drift.settings": Route("GET", "/models/{model}/drift"),
    "drift.configure": Route("PUT", "/models/{model}/drift", _configured),
    "experiments.start": Route("POST", "/experiments", _planned),
    "experiments.page": Route("GET", "/experiments"),
    "experiments.routing": Route("GET", "/experiments/routing"),
    "experiments.fold": Route("POST", "/experiments/results", _folded),
    "experiments.advance": Route("POST", "/experiments/advance"),
    "experiments.evaluation": Route("GET", "/experiments/{name}/evaluation"),
    "experiments.evaluate": Route("POST", "/experiments/{name}/evaluate"),
    "experiments.history": Route("GET", "/experiments/{name}/history"),
    "experiments.replay": Route("GET", "/experiments/{name}/replay"),
    "experiments.get": Route("GET", "/experiments/{name}"),
    "experiments.pause": Route("POST", "/experiments/{name}/pause"),
    "experiments.resume": Route("POST", "/experiments/{name}/resume"),
    "experiments.widen": Route("POST", "/experiments/{name}/widen"),
    "experiments.finalize": Route("POST", "/experiments/{name}/finalize"),
    "documents.register": Route("POST", "/documents/collections"),
    "documents.page": Route("GET", "/documents/collections", _sized),
    "documents.get": Route("GET", _COLLECTION),
    "documents.remove": Route("DELETE", _COLLECTION),
    "documents.identify": Route("POST", _COLLECTION + "/identify"),
    "documents.bridging": Route("GET", _COLLECTION + "/bridge"),
    "documents.bridge": Route("PUT", _COLLECTION + "/bridge"),
    "documents.unbridge": Route("DELETE", _COLLECTION + "/bridge"),
    "documents.start": Route("POST", _COLLECTION + "/migrations", _started),
    "documents.migrate": Route("POST", "/models/{model}/migrate"),
    "documents.migrations": Route("GET", "/documents/migrations", _sized),
    "documents.migration": Route("GET", _MIGRATION),
    "documents.claim": Route("POST", _MIGRATION + "/claim"),
    "documents.leave": Route("POST", _MIGRATION + "/leave"),
    "documents.advance": Route("POST", _MIGRATION + "/advance"),
    "documents.shards": Route("GET", _MIGRATION + "/shards", _sized),
    "documents.cut": Route("POST", _MIGRATION + "/shards"),
    "documents.settle": Route("POST", _MIGRATION + "/settle"),
    "documents.set_aside": Route("GET", _MIGRATION + "/set-aside", _sized),
    "documents.take_back": Route("POST", _MIGRATION + "/take-back"),
    "documents.bury": Route("POST", _MIGRATION + "/bury"),
    "documents.buried": Route("GET", _MIGRATION + "/buried", _sized),
    "documents.pause": Route("POST", _MIGRATION + "/pause"),
    "documents.resume": Route("POST", _MIGRATION + "/resume"),
    "documents.cut_over": Route("POST", _MIGRATION + "/cut-over"),
    "documents.observe": Route("POST", _MIGRATION + "/observe"),
    "documents.roll_back": Route("POST", _MIGRATION + "/roll-back"),
    "documents.retire": Route("POST", _MIGRATION + "/retire"),
    "events.page": Route("GET", "/events"),
    "events.checkpoint": Route("GET", "/events/checkpoint"),
    "events.verify": Route("POST", "/events/verify"),
    "access.create": Route("POST", "/tokens"),
    "access.page": Route("GET", "/tokens"),
    "access.revoke": Route("DELETE", "/tokens/{id}"),
    "webhooks.create": Route("POST", "/webhooks"),
    "webhooks.page": Route("GET", "/webhooks"),
    "webhooks.remove": Route("DELETE", "/webhooks/{id}"),
    "webhooks.deliveries": Route("GET", "/webhooks/{id}/deliveries"),
    "transfer.dump": Route("GET", "/export"),
    "transfer.load": Route("POST", "/import"),
}


# What may take as long as there are bytes.
LONG: Final = frozenset(
    {"artifacts.collect", "artifacts.verify", "artifacts.inspect", "artifacts.changes"}
)


def request(verb: str, arguments: Mapping[str, Any]) -> Request:
    """Give the request that asks for a verb."""
    route = ROUTES[verb]
    given = dict(arguments)
    if route.reshape is not None:
        given = route.reshape(given)
    path, given = _filled(route.path, given)
    # Files are looked into before a version holds them.
    long = verb in LONG or bool(given.get("artifacts"))
    if route.method in {"GET", "DELETE"}:
        return Request(route.method, path + _query(given), long=long)
    return Request(route.method, path, dumps(given), long=long)


def resolve(ref: str) -> Request:
    """Give the request of the fast route for what a reference points at."""
    return Request("GET", f"/resolve/{quote(str(version_ref(ref)), safe='/@:')}")


def blob(digest: str) -> str:
    """Give the path of a blob."""
    return f"/blobs/{blob_digest(digest)}"


def _filled(path: str, given: Arguments) -> tuple[str, Arguments]:
    if "{version}" in path and "ref" in given:
        given = _target(given)
    rest = {}
    for name, value in given.items():
        if f"{{{name}}}" in path:
            # The slashes of a model's name are its own; those of anything else are not.
            safe = "/" if name == "model" else "@"
            path = path.replace(f"{{{name}}}", quote(str(value), safe=safe))
        else:
            rest[name] = value
    return path, rest


def _segment(ref: VersionRef) -> str:
    return ref.number or f"@{ref.alias}"


def _query(given: Arguments) -> str:
    pairs = {k: _shown(v) for k, v in given.items() if v not in (None, "")}
    return "?" + urlencode(pairs, doseq=True) if pairs else ""


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return time_text(value)
    return ("true" if value else "false") if isinstance(value, bool) else plain(value)
