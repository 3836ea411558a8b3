"""Every verb by its name, and whether it writes: what a door may be asked to do."""

from collections.abc import Callable
from typing import Any, Final

from herdbook.services import (
    access,
    artifacts,
    deployments,
    evaluations,
    events,
    experiments,
    inspection,
    leading,
    lineage,
    models,
    serving,
    summaries,
    transfer,
    verifying,
    versions,
    webhooks,
)
from herdbook.services.store import Store

Verb = Callable[..., Any]

READS: Final[dict[str, Verb]] = {
    "models.get": models.get,
    "models.page": models.page,
    "versions.get": versions.get,
    "versions.page": versions.page,
    "summaries.compare": summaries.compare,
    "summaries.best": summaries.best,
    "summaries.cheapest": summaries.cheapest,
    "summaries.summary": summaries.summary,
    "lineage.ancestors": lineage.ancestors,
    "lineage.descendants": lineage.descendants,
    "lineage.pedigree": lineage.pedigree,
    "lineage.around": lineage.around,
    "lineage.data": lineage.data,
    "lineage.datasets": lineage.datasets,
    "evaluations.history": evaluations.history,
    "evaluations.operational": evaluations.operational,
    "deployments.alias": deployments.alias,
    "deployments.history": deployments.history,
    "deployments.at": deployments.at,
    "experiments.get": experiments.get,
    "experiments.page": experiments.page,
    "experiments.routing": serving.routing,
    "experiments.evaluation": leading.evaluation,
    "experiments.replay": leading.replay,
    "experiments.history": leading.history,
    "events.page": events.page,
    "events.checkpoint": events.checkpoint,
    "events.verify": events.verify,
    "access.page": access.page,
    "artifacts.files": artifacts.files,
    "artifacts.signatures": artifacts.signatures,
    "webhooks.page": webhooks.page,
    "webhooks.deliveries": webhooks.deliveries,
}

WRITES: Final[dict[str, Verb]] = {
    "models.create": models.create,
    "models.update": models.update,
    "models.delete": models.delete,
    "models.restore": models.restore,
    "versions.register": versions.register,
    "versions.annotate": versions.annotate,
    "versions.revise": versions.revise,
    "versions.set_status": versions.set_status,
    "versions.delete": versions.delete,
    "versions.restore": versions.restore,
    "evaluations.score": evaluations.score,
    "evaluations.observe": evaluations.observe,
    "deployments.promote": deployments.promote,
    "deployments.rollback": deployments.rollback,
    "deployments.set_current": deployments.set_current,
    "deployments.set_deployed": deployments.set_deployed,
    "deployments.switch": deployments.switch,
    "deployments.remove": deployments.remove,
    "artifacts.sign": artifacts.sign,
    "experiments.start": experiments.start,
    "experiments.pause": experiments.pause,
    "experiments.resume": experiments.resume,
    "experiments.widen": experiments.widen,
    "experiments.finalize": leading.finalize,
    "experiments.fold": serving.fold,
    "experiments.evaluate": leading.evaluate,
    "experiments.advance": leading.advance,
    "access.create": access.create,
    "access.revoke": access.revoke,
    "webhooks.create": webhooks.create,
    "webhooks.remove": webhooks.remove,
}

# What needs the bytes too: verbs of `services.store.Store`.
STORES: Final[dict[str, Verb]] = {
    "artifacts.missing": Store.missing,
    "artifacts.collect": Store.collect,
    "artifacts.verify": verifying.verify,
    "artifacts.inspect": inspection.inspect,
    "artifacts.changes": inspection.changes,
}

LINES: Final[dict[str, Verb]] = {"transfer.dump": transfer.dump}

LOADS: Final[dict[str, Verb]] = {"transfer.load": transfer.load}
