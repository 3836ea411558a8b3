"""Loading what needs no torch, chosen by content; what could run code is refused."""

import pickle
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import skops.io
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load, save
from sklearn.linear_model import LogisticRegression

from herdbook.errors import Invalid, MissingExtra, NotFound, Refused
from herdbook.loader import load as load_model
from herdbook.loader import load_classifier
from herdbook.settings import Settings
from tests.loader.samples import classifier_files, weights, written


def a_graph(*, location: str = "") -> bytes:
    """Give a graph that adds 1, 2, 3; with a location its constant is in another file."""
    constant = numpy_helper.from_array(np.array([1, 2, 3], dtype=np.float32), "c")
    if location:
        constant.ClearField("raw_data")
        constant.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, "offset": "0", "length": "12"}.items():
            constant.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "c"], ["y"])],
        "adding",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
        [constant],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    return bytes(model.SerializeToString())


def a_ref(folder: Path, files: dict[str, bytes]) -> str:
    return f"local:{written(folder / 'm', files)}"


def test_a_graph_is_run_by_onnx_runtime(settings: Settings, tmp_path: Path) -> None:
    onnx.checker.check_model(onnx.load_from_string(a_graph()))

    loaded = load_model(a_ref(tmp_path, {"model.onnx": a_graph()}), settings=settings)

    (sums,) = loaded.model.run(None, {"x": np.ones(3, dtype=np.float32)})
    assert loaded.library == "onnxruntime"
    assert sums.tolist() == [2, 3, 4]


def test_weights_beside_a_graph_are_read(settings: Settings, tmp_path: Path) -> None:
    outside = np.array([1, 2, 3], dtype=np.float32).tobytes()
    files = {"onnx/model.onnx": a_graph(location="c.bin"), "onnx/c.bin": outside}

    loaded = load_model(a_ref(tmp_path, files), settings=settings)

    assert loaded.model.run(None, {"x": np.zeros(3, dtype=np.float32)})[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("location", ["../c.bin", "/etc/hostname", "c.bin", "a/../../c.bin"])
def test_weights_outside_the_folder_are_refused(
    location: str, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "c.bin").write_bytes(b"\0" * 12)

    with pytest.raises(Refused, match="refers to"):
        load_model(a_ref(tmp_path, {"model.onnx": a_graph(location=location)}), settings=settings)


def test_a_graph_the_runtime_refuses_is_told_by_name(settings: Settings, tmp_path: Path) -> None:
    unknown = a_graph().replace(b"Add", b"Foo")

    with pytest.raises(Invalid, match=r"local:.*/m: ONNX Runtime cannot load it: .*Foo"):
        load_model(a_ref(tmp_path, {"model.onnx": unknown}), settings=settings)


def test_one_of_several_graphs_has_to_be_named(settings: Settings, tmp_path: Path) -> None:
    ref = a_ref(tmp_path, {"a.onnx": a_graph(), "b.onnx": a_graph()})

    with pytest.raises(Invalid, match=r"holds a\.onnx, b\.onnx; say which with file="):
        load_model(ref, settings=settings)

    assert load_model(ref, file="b.onnx", settings=settings).library == "onnxruntime"
    with pytest.raises(Invalid, match="is none of"):
        load_model(ref, file="c.onnx", settings=settings)


def test_plain_safetensors_are_arrays_bit_for_bit(settings: Settings, tmp_path: Path) -> None:
    more = {"other": np.arange(4, dtype=np.int64)}
    files = {"a.safetensors": weights(), "b.safetensors": bytes(save(more))}

    loaded = load_model(a_ref(tmp_path, files), settings=settings)

    expected = {**load(weights()), **more}
    assert loaded.library == "safetensors"
    assert loaded.model.keys() == expected.keys()
    assert all((loaded.model[name] == expected[name]).all() for name in expected)


def test_one_tensor_in_two_files_is_refused(settings: Settings, tmp_path: Path) -> None:
    ref = a_ref(tmp_path, {"a.safetensors": weights(), "b.safetensors": weights(1)})

    with pytest.raises(Invalid, match="and in another file"):
        load_model(ref, settings=settings)

    assert load_model(ref, file="b.safetensors", settings=settings).model
    with pytest.raises(Invalid, match="is none of"):
        load_model(ref, file="../m/b.safetensors", settings=settings)
    with pytest.raises(TypeError, match="device"):
        load_model(ref, file="b.safetensors", settings=settings, device="cpu")


def test_a_classifier_of_scikit_learn_gives_the_same_answers(
    settings: Settings, tmp_path: Path
) -> None:
    rng = np.random.default_rng(7)
    samples = rng.normal(size=(200, 4))
    trained = LogisticRegression().fit(samples, samples[:, 0] > 0)
    (tmp_path / "m").mkdir()
    skops.io.dump(trained, tmp_path / "m" / "model.skops")

    loaded = load_model(f"local:{tmp_path}/m", settings=settings)

    assert loaded.library == "skops"
    assert (loaded.model.predict_proba(samples) == trained.predict_proba(samples)).all()


class Foreign:
    """A type nobody knows."""


def test_types_nobody_knows_are_refused_unless_they_are_trusted(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    skops.io.dump({"model": Foreign()}, tmp_path / "m" / "model.skops")
    ref = f"local:{tmp_path}/m"

    with pytest.raises(Refused, match="Foreign"):
        load_model(ref, settings=settings)

    loaded = load_model(ref, allow_executable=True, settings=settings)
    assert type(loaded.model["model"]).__name__ == "Foreign"


class Attack:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path(self.mark),))


@pytest.mark.parametrize("name", ["model.safetensors", "model.onnx", "model.skops", "model.bin"])
@pytest.mark.parametrize("allowed", [False, True])
def test_a_pickle_is_loaded_under_no_name(
    name: str, *, allowed: bool, settings: Settings, tmp_path: Path
) -> None:
    mark = tmp_path / "was-here"
    ref = a_ref(tmp_path, {name: pickle.dumps(Attack(mark))})

    with pytest.raises(NotFound, match="is a pickle"):
        load_model(ref, allow_executable=allowed, settings=settings)

    assert not mark.exists()


@pytest.mark.parametrize("change", ["pickled weights", "code in the config"])
def test_a_classifier_that_could_run_code_is_refused_before_a_library_is_asked(
    change: str, settings: Settings, tmp_path: Path
) -> None:
    mark = tmp_path / "was-here"
    files = classifier_files(auto_map={"AutoModel": "modeling.Model"})
    if change == "pickled weights":
        files = classifier_files()
        del files["model.safetensors"]
        files["pytorch_model.bin"] = b"".join([pickle.dumps(Attack(mark))])

    with pytest.raises((Refused, NotFound, MissingExtra)) as refused:
        load_classifier(a_ref(tmp_path, files), settings=settings)

    assert not mark.exists()
    assert change != "code in the config" or isinstance(refused.value, Refused | MissingExtra)


def test_what_could_be_loaded_in_two_ways_has_to_be_decided(
    settings: Settings, tmp_path: Path
) -> None:
    ref = a_ref(tmp_path, {"model.onnx": a_graph(), "weights.safetensors": weights()})

    with pytest.raises(Invalid, match="onnxruntime and by safetensors; say which"):
        load_model(ref, settings=settings)

    assert load_model(ref, using="safetensors", settings=settings).library == "safetensors"
    with pytest.raises(Invalid, match=r"holds nothing for llama\.cpp"):
        load_model(ref, using="llama.cpp", settings=settings)
    with pytest.raises(Invalid, match="is none of"):
        load_model(ref, using="onnx", settings=settings)


def test_a_folder_without_a_model_is_nothing_to_load(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing to load: its files are text"):
        load_model(a_ref(tmp_path, {"README.md": b"# majora\n"}), settings=settings)


def test_a_classifier_without_tokenizer_or_weights_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    files = classifier_files()
    del files["vocab.txt"]

    with pytest.raises(NotFound, match=r"has no tokenizer: put tokenizer\.json"):
        load_classifier(a_ref(tmp_path, files), settings=settings)

    (tmp_path / "m" / "model.safetensors").unlink()
    with pytest.raises(NotFound, match=r"is no transformers model: .* holds README\.md"):
        load_classifier(f"local:{tmp_path}/m", settings=settings)


@pytest.mark.parametrize(
    ("ref", "package", "extra"),
    [
        ("hf:deepset/gbert-base", "huggingface_hub", "hub"),
        ("s3://models/gbert", "obstore", "objects"),
        ("local:onnx", "onnxruntime", "onnx"),
        ("local:arrays", "safetensors", "arrays"),
        ("local:skops", "skops", "sklearn"),
    ],
)
def test_a_package_that_is_not_installed_is_named(
    ref: str,
    package: str,
    extra: str,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written(tmp_path / "onnx", {"model.onnx": a_graph()})
    written(tmp_path / "arrays", {"model.safetensors": weights()})
    (tmp_path / "skops").mkdir(exist_ok=True)
    skops.io.dump(LogisticRegression(), tmp_path / "skops" / "model.skops")
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtra, match=rf"needs {package}: pip install 'herdbook\[{extra}\]'"):
        load_model(ref, settings=settings)


@pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("transformers") is not None,
    reason="transformers is installed",
)
def test_a_library_that_is_missing_is_named_with_what_mends_it(
    settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'herdbook\[transformers\]'"):
        load_classifier(a_ref(tmp_path, classifier_files()), settings=settings)
