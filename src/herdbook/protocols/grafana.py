"""Grafana's dashboards as JSON: panels in rows, placed from left to right on 24 columns.

The words are those of Grafana's dashboard JSON model, schema version 39, which Grafana 10.4 and
every later one reads. Where the numbers come from is a variable, chosen when it is looked at.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

SCHEMA_VERSION: Final = 39
COLUMNS: Final = 24
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_TRANSPARENT: Final = "transparent"


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel.

    Args:
        expr: in PromQL.
        legend: what a line is called, such as `{{model_type}}`.
    """

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One picture.

    Args:
        title: what it shows.
        kind: `timeseries`, `stat`, `table` or `state-timeline`.
        queries: what it asks; those of `stat` and `table` ask about now.
        description: what a reader has to know to read it.
        unit: Grafana's name of one, such as `s`, `reqps`, `percentunit` or `short`.
        width: of 24.
        height: in Grafana's rows of 30 pixels.
        steps: colours by the value they begin at, ascending.
        words: what whole numbers are called.
        most: the end of the axis, or None where the values say it.
        columns: names of a table's columns by label; labels without one are not shown.
    """

    title: str
    kind: str
    queries: tuple[Query, ...]
    description: str = ""
    unit: str = "short"
    width: int = 12
    height: int = 8
    steps: tuple[tuple[float, str], ...] = ()
    words: Mapping[int, str] = field(default_factory=dict)
    most: float | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """What a reader may narrow a dashboard to.

    Args:
        name: as it is written in queries, without the dollar sign.
        label: as it is shown.
        query: `label_values(…)` in Grafana's words.
    """

    name: str
    label: str
    query: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A dashboard.

    Args:
        uid: by which Grafana knows it again, at most 40 letters.
        title: its name.
        description: what it is about.
        tags: by which it is found.
        choices: what it can be narrowed to, the wider ones first.
        rows: what it shows.
    """

    uid: str
    title: str
    description: str
    tags: tuple[str, ...]
    choices: tuple[Choice, ...]
    rows: tuple[Row, ...]


def dashboard_text(dashboard: Dashboard) -> str:
    """Give a dashboard as the JSON that Grafana imports.

    Example:
        >>> row = Row("R", (Panel(title="Load", kind="stat", queries=(Query("up"),)),))
        >>> text = dashboard_text(
        ...     Dashboard(uid="d", title="D", description="", tags=(), choices=(), rows=(row,))
        ... )
        >>> [(panel["type"], panel["gridPos"]["y"]) for panel in json.loads(text)["panels"]]
        [('row', 0), ('stat', 1)]
    """
    told = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": list(dashboard.tags),
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_source(), *(_choice(one) for one in dashboard.choices)]},
        "annotations": {"list": []},
        "links": [],
        "panels": list(_panels(dashboard.rows)),
    }
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def _source() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "refresh": 1,
    }


def _choice(choice: Choice) -> dict[str, Any]:
    return {
        "name": choice.name,
        "label": choice.label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": choice.query, "refId": choice.name},
        "definition": choice.query,
        "current": {"text": ["All"], "value": ["$__all"]},
        "allValue": ".*",
        "includeAll": True,
        "multi": True,
        "hide": 0,
        "refresh": 2,
        "sort": 1,
    }


def _panels(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    id, top = 0, 0
    for row in rows:
        id += 1
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        yield {
            "id": id, "type": "row", "title": row.title, "collapsed": False, "gridPos": place,
            "panels": [],
        }  # fmt: skip
        places, top = _placed(row.panels, top + 1)
        for panel, place in zip(row.panels, places, strict=True):
            id += 1
            yield _panel(panel, id, place)


def _placed(panels: Sequence[Panel], top: int) -> tuple[list[dict[str, int]], int]:
    """Give each panel its place, and where the next row begins."""
    places, left, bottom = [], 0, top
    for panel in panels:
        if left + panel.width > COLUMNS:
            left, top = 0, bottom
        places.append({"x": left, "y": top, "w": panel.width, "h": panel.height})
        left += panel.width
        bottom = max(bottom, top + panel.height)
    return places, bottom


def _panel(panel: Panel, id: int, place: dict[str, int]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": id,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": [_target(panel, query, at) for at, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel.kind),
    }
    if panel.kind == "table":
        told["transformations"] = [_organised(panel.columns)]
    return told


def _target(panel: Panel, query: Query, at: int) -> dict[str, Any]:
    now = panel.kind in {"stat", "table"}
    return {
        "refId": chr(ord("A") + at),
        "datasource": _SOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": now,
        "range": not now,
        "format": "table" if panel.kind == "table" else "time_series",
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = [(None, "green" if panel.steps else _TRANSPARENT), *panel.steps]
    told: dict[str, Any] = {
        "unit": panel.unit,
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in steps],
        },
        "mappings": _mappings(panel.words),
    }
    if panel.most is not None:
        told |= {"min": 0, "max": panel.most}
    if panel.kind == "timeseries":
        # A line where a score is not known would be a lie: gaps stay gaps.
        told["custom"] = {"spanNulls": False, "fillOpacity": 5, "lineWidth": 1}
        if panel.steps:
            told["custom"]["thresholdsStyle"] = {"mode": "dashed"}
    elif panel.steps:
        told["color"] = {"mode": "thresholds"}
    return told


def _mappings(words: Mapping[int, str]) -> list[dict[str, Any]]:
    if not words:
        return []
    named = {str(number): {"text": word, "index": number} for number, word in words.items()}
    return [{"type": "value", "options": named}]


def _options(kind: str) -> dict[str, Any]:
    if kind == "timeseries":
        return {
            "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if kind == "stat":
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "none",
        }
    if kind == "state-timeline":
        return {"showValue": "auto", "rowHeight": 0.8, "legend": {"showLegend": False}}
    return {"showHeader": True, "cellHeight": "sm"}


def _organised(columns: Mapping[str, str]) -> dict[str, Any]:
    hidden = dict.fromkeys(("Time", "Value", "instance", "__name__"), True)
    shown = {name: title for name, title in columns.items() if name != "Value"}
    return {
        "id": "organize",
        "options": {
            "excludeByName": {name: True for name in hidden if name not in columns},
            "indexByName": {name: at for at, name in enumerate(columns)},
            "renameByName": {**shown, "Value": columns.get("Value", "Value")},
        },
    }
