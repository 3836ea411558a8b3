"""ONNX files: as the library writes them, external data, and lying ones."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from herdbook.errors import Invalid
from herdbook.formats import Bytes, look
from herdbook.formats.onnx import outside
from tests.formats.samples import onnx_file, onnx_model


def protobuf(number: int, message: bytes) -> bytes:
    length = bytes([len(message) & 0x7F | 0x80, len(message) >> 7])
    return bytes([number << 3 | 2]) + length + message


def test_a_file_of_the_library_is_described() -> None:
    data = onnx_file()

    found = look(Bytes(data))

    assert found.format == "onnx"
    assert found.architecture == "gnn"
    assert found.parameters == 8
    assert found.dtypes == {"FLOAT": 6, "INT64": 2}
    assert found.details["producer"] == "herdbook-tests"
    assert found.details["opsets"] == {"": 17}
    assert found.details["ir_version"] == onnx_model().ir_version
    assert found.external == ()
    weight = found.tensors[0]
    assert np.frombuffer(data[weight.start : weight.end], np.float32).tolist() == [1.0] * 6


@pytest.mark.parametrize(
    ("location", "wrong"),
    [
        ("model.onnx.data", ""),
        ("../model.data", "the part .."),
        ("a/../../b", "the part .."),
        ("a\\..\\b", "the part .."),
        ("/etc/passwd", "absolute"),
        ("C:\\weights", "absolute"),
        ("\\\\share\\weights", "absolute"),
        ("https://example.org/w", "address"),
        ("a\nb", "seen"),
    ],
)
def test_external_data_is_listed_and_flagged_when_it_lies_outside(
    location: str, wrong: str
) -> None:
    found = look(Bytes(onnx_file(location=location)))

    assert found.external == (location,)
    assert found.tensors[0].file == location
    assert (found.tensors[0].start, found.tensors[0].end) == (4096, 4120)
    assert [wrong in warning for warning in found.warnings] == ([True] if wrong else [])


def test_external_data_is_found_in_attributes_of_nodes_in_subgraphs() -> None:
    hidden = helper.make_tensor("h", TensorProto.FLOAT, [1], b"\0\0\0\0", raw=True)
    hidden.ClearField("raw_data")
    hidden.data_location = TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="../../secret")
    constant = helper.make_node("Constant", [], ["c"], value=hidden)
    inner = helper.make_graph([constant], "inner", [], [])
    outer = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    model = helper.make_model(helper.make_graph([outer], "gnn", [], []))

    found = look(Bytes(model.SerializeToString()))

    assert found.external == ("../../secret",)
    assert "outside" in found.warnings[0]


def test_constants_of_subgraphs_are_tensors_too() -> None:
    def branch(value: float) -> onnx.GraphProto:
        tensor = helper.make_tensor("", TensorProto.FLOAT, [3], [value] * 3)
        return helper.make_graph(
            [helper.make_node("Constant", [], ["c"], value=tensor)], "b", [], []
        )

    node = helper.make_node("If", ["x"], ["y"], then_branch=branch(1), else_branch=branch(2))
    model = helper.make_model(helper.make_graph([node], "gnn", [], []))

    found = look(Bytes(model.SerializeToString()))

    assert [t.name for t in found.tensors] == ["c", "c #2"]
    assert found.parameters == 6


def test_other_models_in_protobuf_are_not_taken_for_onnx() -> None:
    description = protobuf(2, b"\n\x05gnn\x10\x01")

    assert look(Bytes(b"\x08\x04" + description)).format == "unknown"


def test_operators_of_other_makers_are_named() -> None:
    found = look(Bytes(onnx_file(domain="ai.onnx.contrib")))

    assert any("ai.onnx.contrib" in warning for warning in found.warnings)


def test_a_tensor_whose_bytes_do_not_fit_its_shape_is_refused() -> None:
    model = onnx_model()
    model.graph.initializer[0].dims[0] = 2**40

    with pytest.raises(Invalid, match="takes"):
        look(Bytes(model.SerializeToString()))


def test_a_tensor_of_a_type_unknown_is_refused() -> None:
    model = onnx_model()
    model.graph.initializer[0].data_type = 99

    with pytest.raises(Invalid, match="unknown type 99"):
        look(Bytes(model.SerializeToString()))


def test_a_model_cut_anywhere_is_refused() -> None:
    data = onnx_file()

    for length in range(20, data.rindex(b"B\x04"), 3):  # up to the opsets, which come last
        with pytest.raises(Invalid):
            look(Bytes(data[:length]))


def test_graphs_nested_too_deep_are_refused() -> None:
    graph = b""
    for _ in range(40):
        for number in (6, 5, 1):  # of an attribute, of a node, of a graph
            graph = protobuf(number, graph)
    data = b"\x08\x08" + protobuf(7, graph)

    with pytest.raises(Invalid, match="deep"):
        look(Bytes(data))


def test_a_varint_that_does_not_end_is_refused() -> None:
    with pytest.raises(Invalid, match="varint"):
        look(Bytes(b"\x08\x08\x3a" + b"\xff" * 40))


def test_the_library_agrees_that_the_sample_is_a_model() -> None:
    onnx.checker.check_model(onnx_model())


def test_an_ordinary_location_stays_inside() -> None:
    assert outside("weights/model.onnx_data") == ""
