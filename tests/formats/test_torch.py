"""torch's files: tensors without torch."""

import numpy as np
import pytest

from herdbook.errors import Invalid
from herdbook.formats import Bytes, look
from tests.formats.samples import tensor, torch_file, torch_legacy_file


def test_tensors_of_an_archive_are_found_with_their_bytes() -> None:
    data = torch_file()

    found = look(Bytes(data), "model.pt")

    assert found.format == "torch"
    assert found.parameters == 15
    assert {t.name: (t.dtype, t.shape) for t in found.tensors} == {
        "head.weight": ("float32", (3, 4)),
        "bias": ("float32", (3,)),
    }
    head = found.tensors[0]
    assert np.frombuffer(data[head.start : head.end], np.float32).tolist() == list(range(12))
    assert "what tensors need" in found.executable[0]


def test_tensors_of_the_old_format_are_found_with_their_bytes() -> None:
    data = torch_legacy_file()

    found = look(Bytes(data), "model.pth")

    assert found.format == "torch-legacy"
    (head,) = found.tensors
    assert (head.name, head.dtype, head.shape) == ("head", "float32", (3, 4))
    assert np.frombuffer(data[head.start : head.end], np.float32).tolist() == list(range(12))
    assert found.executable


@pytest.mark.parametrize(
    "state",
    [
        {"a": tensor("0", (3, 5))},
        {"a": tensor("0", (2**40, 2**40))},
        {"a": tensor("7", (3, 4))},
        {"a": tensor("0", (3, 40), count=120)},
        {"a": tensor("../version", (3, 4))},
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(state: object) -> None:
    with pytest.raises(Invalid, match=r"storage|shape|described"):
        look(Bytes(torch_file(state)))


def test_torchscript_is_code() -> None:
    found = look(Bytes(torch_file(**{"majora/code/__torch__.py": b"def forward(): pass"})))

    assert found.format == "torchscript"
    assert "TorchScript" in found.executable[0]


def test_tensors_in_a_circle_end() -> None:
    circle: dict[str, object] = {"a": tensor("0", (3, 4))}
    circle["self"] = circle

    assert [t.name for t in look(Bytes(torch_file(circle))).tensors] == ["a"]


def test_two_names_of_one_tensor_are_two_tensors() -> None:
    one = tensor("0", (3, 4))

    assert [t.name for t in look(Bytes(torch_file({"a": one, "b": one}))).tensors] == ["a", "b"]
