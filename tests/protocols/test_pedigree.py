"""A pedigree in the languages of others."""

import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any

from herdbook.core.lineage import Edge, Node, Pedigree
from herdbook.core.models import ParentKind, Status
from herdbook.protocols.dot import dot
from herdbook.protocols.openlineage import events

AT = datetime(2026, 1, 14, 12, tzinfo=UTC)

TWO = Pedigree(
    nodes=(
        Node(
            ref="majora:v1",
            status=Status.DEPRECATED,
            datasets=("oracle", "toolbench"),
            base_model="Qwen2.5-Coder-7B",
            git_commit="abc123",
            description="the first",
        ),
        Node(ref="majora:v2", status=Status.PRODUCTION, aliases=("champion",)),
    ),
    edges=(Edge(parent="majora:v1", child="majora:v2", kind=ParentKind.DISTILLATION),),
)


def test_dot_names_every_version_data_set_and_step() -> None:
    drawn = dot(TWO)

    assert '"majora:v2" [label="majora:v2\\nproduction, champion"];' in drawn
    assert '"majora:v1" -> "majora:v2" [label="distillation"];' in drawn
    assert drawn.count("shape=cylinder") == 2
    assert drawn.startswith("digraph pedigree {")
    assert drawn.endswith("}")


def test_dot_escapes_what_would_end_a_name() -> None:
    node = Node(ref="majora:v1", status=Status.DRAFT, datasets=('a"];x->"b\\',))

    drawn = dot(Pedigree(nodes=(node,)))

    names = re.sub(r'"(?:[^"\\]|\\.)*"', "NAME", drawn)
    assert names.count("->") == 1
    assert '"' not in names


def test_an_empty_pedigree_is_an_empty_graph_and_no_event() -> None:
    nothing = Pedigree(nodes=())

    assert dot(nothing).splitlines()[-1] == "}"
    assert events(nothing, at=AT) == []


def test_each_version_is_written_by_a_complete_run() -> None:
    first, second = events(TWO, at=AT)

    assert first["eventType"] == second["eventType"] == "COMPLETE"
    assert first["eventTime"] == "2026-01-14T12:00:00.000000Z"
    assert _names(first["inputs"]) == ["oracle", "toolbench"]
    assert _names(second["inputs"]) == ["majora:v1"]
    assert _names(second["outputs"]) == ["majora:v2"]


def test_events_have_what_the_specification_requires() -> None:
    for event in events(TWO, at=AT, namespace="team"):
        found: Any = json.loads(json.dumps(event))
        assert found.keys() >= {"eventTime", "producer", "schemaURL", "run", "job"}
        assert str(uuid.UUID(found["run"]["runId"])) == found["run"]["runId"]
        assert found["job"].keys() >= {"namespace", "name"}
        for facet in _facets(found):
            assert facet.keys() >= {"_producer", "_schemaURL"}
        assert all(d["namespace"] == "team" for d in found["inputs"] + found["outputs"])


def test_a_version_always_has_the_same_run() -> None:
    one, other = events(TWO, at=AT)[0], events(TWO, at=datetime.now(UTC))[0]

    assert one["run"] == other["run"]


def _names(datasets: Any) -> list[str]:
    return [dataset["name"] for dataset in datasets]


def _facets(event: Any) -> list[dict[str, Any]]:
    holders = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
    return [facet for holder in holders for facet in holder.get("facets", {}).values()]
