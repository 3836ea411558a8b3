"""What is inside a version and what changed between two, through every door."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from herdbook.core.artifacts import Artifact
from herdbook.core.contents import Changes
from herdbook.errors import Corrupt, NotFound
from herdbook.front.book import Herdbook
from herdbook.services.store import Store
from herdbook.storage.blobs.folder import FolderBlobs
from tests.formats.samples import header, onnx_model, torch_file
from tests.front.samples import classifier, opened, weights


def pushed(book: Herdbook, model: str, folder: Path, **facts: Any) -> str:
    version = book.artifacts.push(model, path=folder, **facts).version
    assert version is not None
    return version.ref


def test_a_version_tells_what_is_inside(book: Herdbook, tmp_path: Path) -> None:
    folder = classifier(tmp_path / "m", weights(), ["spam", "ham"])
    (folder / "optimizer.safetensors").write_bytes(torch_file())
    ref = pushed(book, "majora", folder)

    found = book.artifacts.inspect(ref)

    assert (found.ref, found.format) == (ref, "safetensors")
    assert found.architecture == "BertForSequenceClassification"
    assert (found.parameters, found.tensors, dict(found.dtypes)) == (1024, 8, {"F32": 1024})
    assert (found.labels, found.licence) == (("spam", "ham"), "mit")
    assert list(found.executable) == ["optimizer.safetensors"]
    kinds = {file.path: (file.format, file.tensors) for file in found.files}
    assert kinds["optimizer.safetensors"] == ("torch", 2)
    assert kinds["model.safetensors"] == ("safetensors", 8)


def test_a_changed_version_tells_which_tensors_moved_and_how_far(
    book: Herdbook, tmp_path: Path
) -> None:
    tensors = weights()
    old = pushed(book, "gnn", classifier(tmp_path / "m", tensors, ["spam", "ham", "old"]))
    tensors["layer.2.weight"] = tensors["layer.2.weight"] * np.float32(1.5)
    tensors["layer.3.weight"] = tensors["layer.3.weight"].astype("f2")
    tensors["layer.4.weight"] = tensors["layer.4.weight"].reshape(8, 16)
    tensors["head.weight"] = np.ones(3, np.float16)
    del tensors["layer.0.weight"]
    folder = classifier(tmp_path / "m", tensors, ["ham", "spam", "new"])
    (folder / "labels.txt").rename(folder / "classes.txt")
    (folder / "README.md").write_text("# gnn")
    new = pushed(book, "gnn", folder)

    found = book.artifacts.diff(old, new)

    told = {change.name: change for change in found.tensors}
    assert {name: change.what for name, change in told.items()} == {
        "layer.2.weight": "bytes",
        "layer.3.weight": "dtype",
        "layer.4.weight": "shape",
        "head.weight": "added",
        "layer.0.weight": "removed",
    }
    assert told["layer.2.weight"].distance == pytest.approx(0.5, abs=1e-6)
    assert (told["layer.3.weight"].old_dtype, told["layer.3.weight"].dtype) == ("F32", "F16")
    assert (told["layer.4.weight"].old_shape, told["layer.4.weight"].shape) == ((16, 8), (8, 16))
    assert (found.same_tensors, found.undecided_tensors, found.all_tensors) == (4, 0, 8)
    assert (found.added_tensors, found.removed_tensors, found.changed_tensors) == (1, 1, 3)
    assert found.changed_bytes == 512 + 256 + 512
    assert (found.labels_added, found.labels_removed) == (("new",), ("old",))
    assert found.labels_moved == ("ham", "spam")
    files = {change.path: change.what for change in found.files}
    assert files["README.md"] == "added"
    assert files["model.safetensors"] == "changed"
    assert {"labels.txt", "classes.txt"} & set(files)


def test_a_renamed_file_is_no_new_one_and_its_tensors_are_the_same(
    book: Herdbook, tmp_path: Path
) -> None:
    folder = classifier(tmp_path / "m", weights(), ["spam"])
    old = pushed(book, "oracle", folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.safetensors")
    new = pushed(book, "oracle", folder)

    found = book.artifacts.diff(old, new, quick=True)

    (change,) = found.files
    assert (change.what, change.path) == ("renamed", "pytorch_model.safetensors")
    assert change.old_path == "model.safetensors"
    assert (found.same_tensors, found.undecided_tensors, found.same_files) == (8, 0, 2)


def test_equal_versions_do_not_differ(book: Herdbook, tmp_path: Path) -> None:
    folder = classifier(tmp_path / "m", weights(), ["spam"])
    old, new = pushed(book, "m-same", folder), pushed(book, "m-same", folder)

    found = book.artifacts.diff(old, new)

    assert found == Changes(old=old, new=new, same_files=3, same_tensors=8, all_tensors=8)


def test_a_quick_diff_reads_no_tensors_and_says_what_it_did_not_compare(
    book: Herdbook, tmp_path: Path
) -> None:
    tensors = weights()
    old = pushed(book, "m-quick", classifier(tmp_path / "m", tensors, ["spam"]))
    tensors["layer.1.weight"] = tensors["layer.1.weight"] + 1
    new = pushed(book, "m-quick", classifier(tmp_path / "m", tensors, ["spam"]))

    before = book.artifacts.diff(old, new, quick=True)
    book.artifacts.diff(old, new)
    after = book.artifacts.diff(old, new, quick=True)

    assert (before.changed_tensors, before.undecided_tensors) == (0, 8)
    assert (after.changed_tensors, after.undecided_tensors, after.same_tensors) == (1, 0, 7)
    assert after.tensors[0].distance is None


def test_weights_beside_an_onnx_file_are_compared_tensor_by_tensor(
    book: Herdbook, tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    refs = []
    for value in (1.0, 2.0):
        onnx.save(onnx_model(location="weights.bin"), folder / "model.onnx")
        data = bytes(4096) + np.full(6, value, np.float32).tobytes()
        (folder / "weights.bin").write_bytes(data)
        refs.append(pushed(book, "m-onnx", folder))

    found = book.artifacts.diff(*refs)

    assert [(change.name, change.what) for change in found.tensors] == [("w", "bytes")]
    assert found.tensors[0].distance == pytest.approx(1.0)


def test_a_header_that_lies_is_told_of_and_the_rest_is_compared(
    book: Herdbook, tmp_path: Path
) -> None:
    folder = classifier(tmp_path / "m", weights(), ["spam"])
    old = pushed(book, "m-lies", folder)
    lie = header({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 80]}}, bytes(8))
    (folder / "model.safetensors").write_bytes(lie)
    new = pushed(book, "m-lies", folder)

    inside = book.artifacts.inspect(new)
    found = book.artifacts.diff(old, new)

    (lying,) = [file for file in inside.files if file.problem]
    assert lying.path == "model.safetensors"
    assert "data_offsets span 80" in lying.problem
    assert inside.architecture == "BertForSequenceClassification"
    assert any("its header lies" in note for note in found.notes)
    assert [change.path for change in found.files] == ["model.safetensors"]


def test_a_version_without_bytes_has_nothing_inside(book: Herdbook) -> None:
    book.models.register("m-none", "v1")

    with pytest.raises(NotFound, match="without its bytes"):
        book.artifacts.inspect("m-none:v1")


# --- what is remembered ---


class Counted(FolderBlobs):
    """A folder of blobs that counts how often bytes are asked for."""

    asked = 0

    def file(self, digest: str) -> Path | None:
        self.asked += 1
        return super().file(digest)

    def read(self, digest: str, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        self.asked += 1
        return super().read(digest, start=start, end=end)

    def verify(self, digest: str) -> None:
        self.asked += 1
        super().verify(digest)


def test_what_was_found_is_remembered_and_no_byte_read_again(home: Path, tmp_path: Path) -> None:
    folder = classifier(tmp_path / "m", weights(), ["spam"])
    with opened(home) as (door, book):
        blobs = Counted(home / "blobs")
        door.store = Store(blobs, door)
        ref = pushed(book, "majora", folder)
        blobs.asked = 0

        first = book.artifacts.inspect(ref)
        (folder / "labels.txt").write_text("ham")
        second = book.artifacts.inspect(pushed(book, "majora", folder))

        looked = blobs.asked
    assert looked <= 2  # of the second push: the file that is new
    assert second.architecture == first.architecture == "BertForSequenceClassification"


def test_digests_of_tensors_are_computed_once(home: Path, tmp_path: Path) -> None:
    tensors = weights()
    with opened(home) as (door, book):
        blobs = Counted(home / "blobs")
        door.store = Store(blobs, door)
        old = pushed(book, "majora", classifier(tmp_path / "m", tensors, ["spam"]))
        tensors["layer.1.weight"] = tensors["layer.1.weight"].astype("i4")
        new = pushed(book, "majora", classifier(tmp_path / "m", tensors, ["spam"]))
        first = book.artifacts.diff(old, new)
        blobs.asked = 0

        second = book.artifacts.diff(old, new)

        assert (second, blobs.asked) == (first, 0)


def test_what_an_older_reader_found_is_looked_for_again(home: Path, tmp_path: Path) -> None:
    folder = classifier(tmp_path / "m", weights(), ["spam"])
    with opened(home) as (door, book):
        ref = pushed(book, "majora", folder)
        digests = {file.digest for file in book.artifacts.files(ref).files}
        old = json.dumps({"contents": {"format": "as it was"}, "reader": 0, "scanner": "x"})
        door.store.remember(dict.fromkeys(digests, old))

        found = book.artifacts.inspect(ref)

    assert found.format == "safetensors"


def test_a_name_and_its_neighbours_are_no_part_of_what_is_remembered(
    home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "run.py").write_text("print(1)")
    (folder / "run.txt").write_text("print(1)")
    (folder / "model.onnx").write_bytes(onnx_model(location="weights.bin").SerializeToString())
    with opened(home) as (_, book):
        alone = book.artifacts.inspect(pushed(book, "majora", folder))
        (folder / "weights.bin").write_bytes(bytes(4_200))
        together = book.artifacts.inspect(pushed(book, "majora", folder))

    executable = {file.path: bool(file.executable) for file in alone.files}
    assert executable == {"model.onnx": False, "run.py": True, "run.txt": False}
    assert any("not in the version" in warning for warning in alone.warnings)
    assert not any("not in the version" in warning for warning in together.warnings)


def test_damaged_bytes_are_not_remembered_as_what_is_inside(home: Path, tmp_path: Path) -> None:
    folder = classifier(tmp_path / "m", weights(), ["spam"])
    with opened(home) as (door, book):
        ref = pushed(book, "majora", folder)
        files: tuple[Artifact, ...] = book.artifacts.files(ref).files
        door.store.remember({file.digest: "{}" for file in files})
    digest = next(file.digest for file in files if file.path == "config.json")
    path = next(
        p for p in (home / "blobs").rglob(digest.removeprefix("sha256:")) if p.stat().st_size
    )
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"Bert", b"Evil"))

    with opened(home) as (_, book), pytest.raises(Corrupt):
        book.artifacts.inspect(ref)


# --- constant memory ---

_MEMORY = """
import json, struct, sys
from pathlib import Path
import numpy, herdbook

def peak():
    # Of this program alone; what the system counts for a process begins with its parent's.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])

def weights(path, last):
    side = 125_000_000
    told = {"dtype": "F32", "shape": [side // 4]}
    names = ["a", "b", "c", "d"]
    said = {n: told | {"data_offsets": [at * side, (at + 1) * side]} for at, n in enumerate(names)}
    text = json.dumps(said).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + 4 * side)
        file.seek(-4, 2)
        file.write(struct.pack("<f", last))

folder = Path(sys.argv[1])
folder.mkdir()
with herdbook.connect() as book:
    weights(folder / "model.safetensors", 1.0)
    book.artifacts.push("majora", path=folder)
    weights(folder / "model.safetensors", 3.0)
    book.artifacts.push("majora", path=folder)
    book.artifacts.diff("majora:v1", "majora:v1")
    before = peak()
    found = book.artifacts.diff("majora:v1", "majora:v2")
    after = peak()
print(json.dumps([found.changed_tensors, found.tensors[0].distance, before, after]))
"""


def test_half_a_gigabyte_is_compared_in_constant_memory(home: Path, tmp_path: Path) -> None:  # noqa: ARG001
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, str(tmp_path / "m")],
        capture_output=True,
        text=True,
        check=True,
    )

    changed, distance, before, after = json.loads(done.stdout)
    assert (changed, distance) == (1, pytest.approx(2.0))
    assert after - before < 48 * 1024, f"{before} kB, then {after} kB"
    assert after < 220 * 1024, f"{after} kB"
