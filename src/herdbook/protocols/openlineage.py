"""A pedigree as OpenLineage events (openlineage.io, specification 2-0-2).

Each version is a data set that the run of a job wrote: what it was trained on and the versions
it came from are the run's inputs. What the specification has no standard facet for (status,
aliases, base model, git commit, kind of descent) stands in facets that begin with `herdbook_`.
"""

import uuid
from datetime import datetime
from typing import Final

from herdbook.core.lineage import Edge, Node, Pedigree
from herdbook.core.wire import time_text

PRODUCER: Final = "urn:x-herdbook:register"
_SPEC: Final = "https://openlineage.io/spec"
_EVENT: Final = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
# A facet of our own is at least what every facet is.
_OWN: Final = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/BaseFacet"
_RUNS: Final = uuid.UUID("6c1f7f5e-3a1b-5d0e-9a43-0c7b1e2d4f60")

Json = dict[str, object]


def events(pedigree: Pedigree, *, at: datetime, namespace: str = "herdbook") -> list[Json]:
    """Give one complete RunEvent for every version, in the order of the pedigree.

    Args:
        pedigree: the versions and the steps between them.
        at: the time the events carry, aware.
        namespace: the namespace of jobs and data sets.

    Returns:
        What `json.dumps` takes. A version's run always has the same id.
    """
    steps: dict[str, list[Edge]] = {}
    for edge in pedigree.edges:
        steps.setdefault(edge.child, []).append(edge)
    return [
        _event(node, steps.get(node.ref, []), at=time_text(at), namespace=namespace)
        for node in pedigree.nodes
    ]


def _event(node: Node, steps: list[Edge], *, at: str, namespace: str) -> Json:
    model, _, number = node.ref.rpartition(":")
    run = uuid.uuid5(_RUNS, f"{namespace}\n{node.ref}")
    inputs: list[Json] = [{"namespace": namespace, "name": name} for name in node.datasets]
    inputs += [{"namespace": namespace, "name": step.parent} for step in steps]
    return {
        "eventType": "COMPLETE",
        "eventTime": at,
        "producer": PRODUCER,
        "schemaURL": _EVENT,
        "run": {"runId": str(run), "facets": {"herdbook_training": _training(node, steps)}},
        "job": {
            "namespace": namespace,
            "name": f"train {model}",
            "facets": {"jobType": _job_type()},
        },
        "inputs": inputs,
        "outputs": [
            {"namespace": namespace, "name": node.ref, "facets": _written(node, number)},
        ],
    }


def _written(node: Node, number: str) -> Json:
    facets: Json = {
        "version": _facet("1-0-1/DatasetVersionDatasetFacet", datasetVersion=number),
        "herdbook_version": _own(status=str(node.status), aliases=list(node.aliases)),
    }
    if node.description:
        facets["documentation"] = _facet(
            "1-1-0/DocumentationDatasetFacet", description=node.description
        )
    return facets


def _training(node: Node, steps: list[Edge]) -> Json:
    parents = [{"name": step.parent, "kind": str(step.kind)} for step in steps]
    return _own(baseModel=node.base_model, gitCommit=node.git_commit, parents=parents)


def _job_type() -> Json:
    return _facet(
        "2-0-3/JobTypeJobFacet",
        processingType="BATCH",
        integration="HERDBOOK",
        jobType="TRAINING",
    )


def _facet(path: str, **fields: object) -> Json:
    _, _, name = path.partition("/")
    return {
        "_producer": PRODUCER,
        "_schemaURL": f"{_SPEC}/facets/{path}.json#/$defs/{name}",
        **fields,
    }


def _own(**fields: object) -> Json:
    return {"_producer": PRODUCER, "_schemaURL": _OWN, **fields}
