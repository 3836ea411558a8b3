"""What a version is, as text: a field that came later changes nothing of what was there before."""

import json

import pytest

from herdbook.core.artifacts import digest_of
from herdbook.core.models import (
    Facts,
    FileLocation,
    Parent,
    ParentKind,
    Training,
    facts_digest,
)
from herdbook.core.wire import dumps, value
from herdbook.errors import Invalid

FACTS = Facts(
    training=Training(base_model="Qwen2.5-Coder-7B", samples=223, epochs=3, learning_rate=2e-4),
    files=(FileLocation(role="lora", location="out/majora-v1-lora"),),
    parents=(Parent(model="majora", number="v1", kind=ParentKind.FINE_TUNE),),
    datasets=("oracle", "toolbench"),
    dependencies=("torch>=2.4",),
    metadata={"seed": 7},
    git_commit="0a1b2c3d",
    git_dirty=False,
)
# As it was written, and digested, before there were manifests: never to be changed.
TEXT = (
    '{"training":{"framework":"","base_model":"Qwen2.5-Coder-7B","samples":223,"epochs":3,'
    '"batch_size":null,"learning_rate":0.0002,"duration_hours":null,"cost_usd":null,'
    '"hardware":""},"files":[{"role":"lora","location":"out/majora-v1-lora"}],'
    '"parents":[{"model":"majora","number":"v1","kind":"fine-tune"}],'
    '"datasets":["oracle","toolbench"],"dependencies":["torch>=2.4"],"metadata":{"seed":7},'
    '"git_commit":"0a1b2c3d","git_dirty":false}'
)
DIGEST = "617468036035419972c5ca810a59de1df817dd42f3448d6b527835477eb6715f"
MANIFEST = digest_of(b"")


def test_facts_without_a_manifest_are_written_as_before_there_were_any() -> None:
    assert dumps(FACTS) == TEXT
    assert facts_digest("majora", "v2", TEXT) == DIGEST


def test_facts_of_before_are_read() -> None:
    assert value(Facts, json.loads(TEXT)) == FACTS


def test_a_manifest_is_part_of_what_a_version_is() -> None:
    held = value(Facts, json.loads(TEXT) | {"manifest": MANIFEST})

    assert dumps(held) == f'{TEXT[:-1]},"manifest":"{MANIFEST}"}}'
    assert value(Facts, json.loads(dumps(held))) == held
    assert facts_digest("majora", "v2", dumps(held)) != DIGEST


@pytest.mark.parametrize(
    "wrong",
    [
        "x",
        MANIFEST[7:],
        MANIFEST[:-1],
        MANIFEST + "\n",
        MANIFEST.upper(),
        MANIFEST.replace("sha256", "sha512"),
        f" {MANIFEST}",
    ],
)
def test_what_is_no_digest_is_no_manifest(wrong: str) -> None:
    with pytest.raises(Invalid, match="is not a digest") as raised:
        Facts(manifest=wrong)

    assert raised.value.field == "manifest"
