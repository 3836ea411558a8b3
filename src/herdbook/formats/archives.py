"""Zip archives that models come in: torch, Keras, NumPy, skops; every file in them looked into."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from herdbook.errors import Invalid
from herdbook.formats import keras, pickles, torch
from herdbook.formats.contents import Contents, Tensor, parameters_by_dtype
from herdbook.formats.pickles import Pickle
from herdbook.formats.reading import Reader, exactly, json_value, shown
from herdbook.formats.zips import UNPACKED_BYTES_LIMIT, Entry, entries, opened

Look = Callable[[Reader], Contents]
_UNPACKED_BUDGET: Final = 8 * UNPACKED_BYTES_LIMIT
_LOOKED_LIMIT: Final = 10_000
_SKOPS_OWN: Final = frozenset({"sklearn", "numpy", "scipy", "collections"})
_PLAIN: Final = frozenset({"dict", "list", "tuple", "set", "str", "int", "float", "bool", "bytes"})


def read(reader: Reader, look: Look) -> Contents:
    """Describe an archive and what is in it.

    Args:
        reader: the archive.
        look: what looks into one file, such as `looking.look`.

    Raises:
        Invalid: the archive's directory, or the file that says what it holds, lies.
    """
    found = {entry.name: entry for entry in entries(reader)}
    data = next((name for name in found if name == "data.pkl" or name.endswith("/data.pkl")), "")
    if data:
        return _torch(reader, found, data.removesuffix("data.pkl"))
    said = Contents(format="zip")
    if "config.json" in found:  # all that Keras itself asks for
        said = keras.config(_whole(reader, found["config.json"]))
        said = said if said.architecture else replace(said, format="zip")
    elif "schema.json" in found:
        said = _skops(json_value(_whole(reader, found["schema.json"]), of="schema.json"))
    elif found and all(name.endswith(".npy") for name in found):
        said = Contents(format="npz")
    return _members(reader, found, look, said)


def _whole(reader: Reader, entry: Entry) -> bytes:
    inside = opened(reader, entry)
    if entry.size > UNPACKED_BYTES_LIMIT:
        raise Invalid(f"the zip entry {shown(entry.name)} of {entry.size:,} bytes is too large")
    return exactly(inside, 0, entry.size, of=shown(entry.name))


def _torch(reader: Reader, found: Mapping[str, Entry], root: str) -> Contents:
    row: list[Pickle] = []
    names = [name for name in found if name.endswith(".pkl")]
    for name in sorted(names, key=lambda name: (name != f"{root}data.pkl", name))[:100]:
        inside = opened(reader, found[name])
        row += pickles.row(inside, pickles.first(inside))

    def place(key: str) -> tuple[int, int] | None:
        entry = found.get(f"{root}data/{key}") or found.get(f"{root}tensors/{key}")
        if entry is None:
            raise Invalid(f"the storage {shown(key)} is not in the archive")
        return entry.place()

    whole = row[0].complete
    warnings = [] if whole else [f"{root}data.pkl is broken off, or no pickle"]
    known = torch.tensors(row[0].result, place) if whole else ()
    said = torch.described(known, row, warnings=warnings, kind="torch")
    code = [name for name in found if name.startswith(f"{root}code/")]
    if not code:
        return said
    reason = f"it holds TorchScript code, {len(code):,} files"
    return replace(said, format="torchscript", executable=(reason, *said.executable))


def _skops(schema: Any) -> Contents:
    kinds: dict[str, None] = {}
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            module, name = one.get("__module__"), one.get("__class__")
            if isinstance(module, str) and isinstance(name, str):
                kinds.setdefault(f"{module}.{name}"[:200])
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    plain = {f"builtins.{name}" for name in _PLAIN}
    foreign = [k for k in kinds if k.partition(".")[0] not in _SKOPS_OWN and k not in plain]
    first = schema if isinstance(schema, Mapping) else {}
    return Contents(
        format="skops" if "__loader__" in first else "zip",
        architecture=str(first.get("__class__", ""))[:200],
        executable=tuple(f"it imports {kind}" for kind in foreign[:100]),
        details={"types": list(kinds)[:1_000]},
    )


def _members(reader: Reader, found: Mapping[str, Entry], look: Look, said: Contents) -> Contents:
    executable, external, warnings = (
        list(said.executable),
        list(said.external),
        list(said.warnings),
    )
    tensors, budget = list(said.tensors), _UNPACKED_BUDGET
    for entry in list(found.values())[:_LOOKED_LIMIT]:
        if not entry.stored:
            budget -= min(entry.size, UNPACKED_BYTES_LIMIT)
        if budget < 0 and not entry.stored:
            warnings.append(f"{entry.name} was not looked into")
            continue
        inside, problem = _member(reader, entry, look)
        warnings += [f"{entry.name}: {text}" for text in (*inside.warnings, *problem)]
        executable += [f"{entry.name}: {reason}" for reason in inside.executable]
        external += inside.external
        tensors += [_moved(one, entry) for one in inside.tensors[:1]]
    if len(found) > _LOOKED_LIMIT:
        warnings.append(f"only the first {_LOOKED_LIMIT:,} entries were looked into")
    counted = parameters_by_dtype(tensors) if said.format == "npz" else {}
    return replace(
        said,
        tensors=tuple(tensors) if said.format == "npz" else (),
        parameters=sum(counted.values()),
        dtypes=counted,
        executable=tuple(dict.fromkeys(executable))[:100],
        external=tuple(dict.fromkeys(external))[:100],
        warnings=tuple(dict.fromkeys(warnings))[:100],
        details={**said.details, "entries": len(found)},
    )


def _moved(tensor: Tensor, entry: Entry) -> Tensor:
    """Give the array of an entry by the entry's name, at its place in the archive."""
    name = entry.name.removesuffix(".npy")
    if not entry.stored:
        return replace(tensor, name=name, start=0, end=0)
    return replace(
        tensor, name=name, start=entry.start + tensor.start, end=entry.start + tensor.end
    )


def _member(reader: Reader, entry: Entry, look: Look) -> tuple[Contents, tuple[str, ...]]:
    try:
        inside = opened(reader, entry)
        partly = inside.size < entry.size
        problem = (f"only its first {inside.size:,} bytes were looked into",) if partly else ()
        return look(inside), problem
    except Invalid as error:
        return Contents(format="unknown"), (error.message,)
