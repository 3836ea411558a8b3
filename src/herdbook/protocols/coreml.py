"""The CoreML registry of embeddings, LLMs and rerankers: `model_registry.json`."""

from typing import Any

from herdbook.core.models import UNSEALED, Status
from herdbook.errors import Invalid
from herdbook.protocols.afs import files
from herdbook.protocols.foreign import Foreign
from herdbook.protocols.plan import Plan, Planned, PlannedModel, numbers, plan

SOURCE = "coreml"
_OF_MODEL = frozenset(
    ["model_name", "name", "model_type", "current_version", "versions", "description", "created_at"]
)
_OF_VERSION = frozenset(
    ["model_name", "model_type", "version", "description", "status", "performance_metrics",
     "dependencies", "metadata", "created_at"]
)  # fmt: skip


def read(registry: object) -> Plan:
    """Read a registry; models and versions may be objects by name or lists.

    Raises:
        Invalid: naming the place.
    """
    inner = registry.get("models") if isinstance(registry, dict) else None
    if not isinstance(inner, dict | list):
        raise Invalid("this is not a CoreML registry: it has no `models`", field="models")
    named = Foreign(registry)["models"].named("model_name", "name")
    readers = [_Model(name, entry) for name, entry in named]
    versions = [version for reader in readers for version in reader.versions()]
    return plan(
        SOURCE,
        [reader.model() for reader in readers],
        versions,
        serving=[ref for reader in readers for ref in reader.serving()],
        notes=[note for reader in readers for note in reader.notes],
    )


class _Model:
    """One model of the registry."""

    def __init__(self, name: str, entry: Foreign) -> None:
        self.name = name
        self._entry = entry
        self._versions = dict(entry["versions"].named("version"))
        self._current = entry["current_version"].text()
        self._numbers, self.notes = numbers(self._versions, model=name)

    def model(self) -> PlannedModel:
        kept = {key: self._entry[key].value for key in self._entry if key not in _OF_MODEL}
        if self._entry["created_at"].text():
            kept["source_created_at"] = self._entry["created_at"].text()
        about = {
            "type": self._type(),
            "description": self._entry["description"].text(),
            "metadata": kept,
        }
        return PlannedModel(name=self.name, about=about, place=self._entry.place)

    def _type(self) -> str:
        said = (self._entry, *self._versions.values())
        return next((text for one in said if (text := one["model_type"].text())), "")

    def versions(self) -> list[Planned]:
        return [self._version(text) for text in self._versions]

    def _version(self, text: str) -> Planned:
        said, status = self._versions[text], self._status(text)
        early = status in {Status.DEPRECATED, Status.ARCHIVED}
        metrics, notes = said["performance_metrics"].scores()
        self.notes += notes
        serves = status is Status.PRODUCTION
        begins = Status.DEVELOPMENT if early or serves else status
        kept = {
            key: said[key].value
            for key in said
            if key not in _OF_VERSION and not key.endswith("_path")
        }
        facts: dict[str, Any] = {
            "status": str(begins),
            "description": said["description"].text(),
            "metrics": metrics,
            "dependencies": _dependencies(said["dependencies"]),
            "metadata": kept | said["metadata"].fields(),
            "files": files(said),
            "tags": self._tags(said, text, serves=serves),
            "git_commit": "",
        }
        return Planned(
            model=self.name,
            number=self._numbers[text],
            facts=facts,
            ends=status if early else None,
            place=said.place,
        )

    def _status(self, text: str) -> Status:
        said = self._versions[text]["status"]
        word = said.text().lower() or "development"
        if word not in set(Status):
            raise said.invalid(f"is {word!r}, none of {', '.join(Status)}")
        return Status(word)

    def _tags(self, said: Foreign, text: str, *, serves: bool) -> dict[str, str]:
        tags = {"imported_from": SOURCE}
        if self._numbers[text] != text:
            tags["imported_number"] = text
        if serves:
            tags["deployed"] = "true"
        if said["created_at"].text():
            tags["source_created_at"] = said["created_at"].text()
        return tags

    def serving(self) -> list[str]:
        """Give what is in production, the current version at the end."""
        found = [text for text in self._versions if self._status(text) is Status.PRODUCTION]
        found.sort(key=lambda text: self._versions[text]["created_at"].text())
        if self._current:
            found = [text for text in found if text != self._current] + self._champion()
        self.notes += [
            f"{self.name} {text} was in production beside {found[-1]}; it is deprecated here, and "
            "one step of rollback away."
            for text in found[:-1]
        ]
        return [f"{self.name}:{self._numbers[text]}" for text in found]

    def _champion(self) -> list[str]:
        if self._current not in self._versions:
            raise self._entry["current_version"].invalid(
                f"is {self._current}, which is none of the versions"
            )
        status = self._status(self._current)
        if status in UNSEALED or status is Status.ARCHIVED:
            self.notes.append(
                f"{self.name} {self._current} is the current version, but {status}; it serves "
                "nowhere here."
            )
            return []
        return [self._current]


def _dependencies(said: Foreign) -> list[str]:
    """Give dependencies; an object of name to version becomes `name==version`."""
    if not isinstance(said.value, dict):
        return list(said.words())
    return [f"{name}=={text}" if (text := said[name].text()) else name for name in said]
