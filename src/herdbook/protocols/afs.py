"""The AFS registry: `registry.json` and `lineage.json`."""

import re
from collections.abc import Iterable
from typing import Any

from herdbook.core.models import Status
from herdbook.errors import Invalid
from herdbook.protocols.foreign import Foreign
from herdbook.protocols.plan import Plan, Planned, PlannedModel, numbers, plan

SOURCE = "afs"
STATUSES = {
    "": Status.DEVELOPMENT,
    "draft": Status.DRAFT,
    "training": Status.TRAINING,
    "completed": Status.DEVELOPMENT,
    "deployed": Status.DEVELOPMENT,
    "deprecated": Status.DEPRECATED,
    "archived": Status.ARCHIVED,
}
_TEXTS = ("framework", "base_model", "hardware")
_NUMBERS = ("samples", "epochs", "batch_size", "learning_rate", "duration_hours", "cost_usd")
_KNOWN = frozenset(
    ["model_name", "version", "created_at", "status", "training", "evaluation_scores", "deployed",
     "deployed_at", "parent_version", "training_data_sources", "git_commit", "tags", "notes",
     "description"]
)  # fmt: skip
_COMMIT = re.compile(r"[0-9a-zA-Z]{4,64}\Z")


def read(registry: object, lineage: object = None) -> Plan:
    """Read a registry, with its lineage when there is one.

    Args:
        registry: `registry.json`, parsed.
        lineage: `lineage.json`, parsed; it fills in what the registry leaves open, and adds
            the versions that stand in it alone.

    Raises:
        Invalid: naming the place.
    """
    if not isinstance(registry, dict) or "models" not in registry:
        raise Invalid("this is not an AFS registry: it has no object `models`", field="models")
    owners = dict(Foreign(registry)["models"].named("model_name"))
    lines = dict(Foreign(lineage)["lineages"].named("model_name"))
    readers = [
        _Model(name, owners.get(name), lines.get(name)) for name in dict.fromkeys([*owners, *lines])
    ]
    versions = [version for reader in readers for version in reader.versions()]
    return plan(
        SOURCE,
        [reader.model() for reader in readers],
        versions,
        serving=[ref for reader in readers for ref in reader.serving()],
        notes=[note for reader in readers for note in reader.notes],
    )


class _Model:
    """One model of the registry, with its entry in the lineage."""

    def __init__(self, name: str, entry: Foreign | None, line: Foreign | None) -> None:
        self.name = name
        self._entry = entry or Foreign(None, f"models.{name}")
        self._place = (entry or line or self._entry).place
        self._versions = dict(self._entry["versions"].named("version"))
        self._lines = dict((line or Foreign(None))["versions"].named("version"))
        texts = [*self._versions, *(text for text in self._lines if text not in self._versions)]
        self._numbers, self.notes = numbers(texts, model=name)

    def model(self) -> PlannedModel:
        said = self._entry["metadata"]
        about: dict[str, Any] = {
            "description": said["description"].text(),
            "owner": said["owner"].text(),
            "notes": said["notes"].text(),
            "tags": dict.fromkeys(said["tags"].words(), ""),
        }
        known = {"model_name", "description", "owner", "notes", "tags", "created_at"}
        kept = {key: said[key].value for key in said if key not in known}
        if said["created_at"].text():
            kept["source_created_at"] = said["created_at"].text()
        return PlannedModel(name=self.name, about=about | {"metadata": kept}, place=self._place)

    def versions(self) -> list[Planned]:
        return [self._version(text) for text in self._numbers]

    def _version(self, text: str) -> Planned:
        line = self._lines.get(text, Foreign(None))
        said = self._versions.get(text) or Foreign(None, line.place)
        if text not in self._versions:
            self.notes.append(f"{self.name} {text} stands in the lineage alone.")
        status = self._status(said)
        early = status in {Status.DEPRECATED, Status.ARCHIVED}
        facts = self._training(said, line) | {
            "status": str(Status.DEVELOPMENT if early else status),
            "description": said["description"].text(),
            "notes": said["notes"].text() or line["notes"].text(),
            "tags": self._tags(said, line, text),
            "metrics": self._metrics(said),
            "files": files(said),
            "training_data": _joined(said["training_data_sources"], line["training_data"]),
            "metadata": {
                key: said[key].value
                for key in said
                if key not in _KNOWN and not _is_path(key, said[key].value)
            },
        }
        commit, dirty = self._commit(said, line)
        return Planned(
            model=self.name,
            number=self._numbers[text],
            facts=facts | {"git_commit": commit} | ({"git_dirty": True} if dirty else {}),
            parents=self._parents(said, line),
            hints=self._hints(text, [facts.get("base_model", ""), line["base_model"].text()]),
            ends=status if early else None,
            place=said.place,
        )

    def _status(self, said: Foreign) -> Status:
        text = said["status"].text().lower()
        if text not in STATUSES:
            known = ", ".join(filter(None, STATUSES))
            raise said["status"].invalid(f"is {text!r}, none of {known}")
        return STATUSES[text]

    def _serves(self, said: Foreign) -> bool:
        flagged = said["deployed"].value is True or said["status"].text().lower() == "deployed"
        return flagged and self._status(said) is Status.DEVELOPMENT

    def serving(self) -> list[str]:
        """Give the deployed versions, the one deployed last at the end."""
        found = [(said["deployed_at"].text(), text) for text, said in self._versions.items()
                 if self._serves(said)]  # fmt: skip
        found.sort(key=lambda pair: pair[0])
        last = found[-1][1] if found else ""
        self.notes += [
            f"{self.name} {text} was deployed beside {last}, which was deployed later; it is "
            "deprecated here, and one step of rollback away."
            for _, text in found[:-1]
        ]
        return [f"{self.name}:{self._numbers[text]}" for _, text in found]

    def _training(self, said: Foreign, line: Foreign) -> dict[str, Any]:
        training = said["training"]
        texts = {name: training[name].text() for name in _TEXTS}
        texts["base_model"] = texts["base_model"] or line["base_model"].text()
        counts = {name: training[name].whole() for name in _NUMBERS}
        return {name: v for name, v in (texts | counts).items() if v not in (None, "")}

    def _metrics(self, said: Foreign) -> dict[str, float]:
        found, notes = said["evaluation_scores"].scores()
        self.notes += notes
        return found

    def _tags(self, said: Foreign, line: Foreign, text: str) -> dict[str, str]:
        tags = dict.fromkeys(said["tags"].words(), "") | {"imported_from": SOURCE}
        if self._numbers[text] != text:
            tags["imported_number"] = text
        if self._serves(said):
            tags["deployed"] = "true"
        created = said["created_at"].text() or line["created_at"].text()
        times = {"source_created_at": created, "source_deployed_at": said["deployed_at"].text()}
        return tags | {name: at for name, at in times.items() if at}

    def _parents(self, said: Foreign, line: Foreign) -> tuple[str, ...]:
        parent = said["parent_version"].text() or line["parent_version"].text()
        if not parent:
            return ()
        # Some registries write the model beside the number.
        model, _, number = parent.rpartition(":")
        own = model in {"", self.name}
        return (f"{self.name}:{self._numbers.get(number, number)}" if own else parent,)

    def _hints(self, text: str, bases: Iterable[str]) -> tuple[str, ...]:
        """Give base models that name a version, such as `majora:v1`."""
        found = []
        for base in bases:
            model, _, number = base.rpartition(":")
            own = self._numbers.get(number, number) if model == self.name else number
            found.append(f"{model}:{own}" if model else "")
        itself = f"{self.name}:{self._numbers[text]}"
        return tuple(ref for ref in dict.fromkeys(found) if ref not in {"", itself})

    def _commit(self, said: Foreign, line: Foreign) -> tuple[str, bool]:
        text = said["git_commit"].text() or line["git_commit"].text()
        commit = text.removesuffix("-dirty")
        if commit and not _COMMIT.match(commit):
            self.notes.append(f"{said.place}.git_commit {text!r:.80} is no commit; it is left out.")
            return "", False
        return commit, commit != text


def _joined(*lists: Foreign) -> list[str]:
    return list(dict.fromkeys(word for words in lists for word in words.words()))


def _is_path(key: str, value: object) -> bool:
    return key.endswith("_path") and (value is None or isinstance(value, str))


def files(said: Foreign) -> dict[str, list[str]]:
    """Give the files of an entry: `lora_path` is where the file of the role lora is."""
    return {
        key.removesuffix("_path").lower(): [said[key].text()]
        for key in said
        if _is_path(key, said[key].value) and said[key].text()
    }
