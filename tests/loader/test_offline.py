"""HERDBOOK_OFFLINE=1 makes no connection, as the kernel sees it."""

import os
import sys
from pathlib import Path

import pytest

from herdbook.loader import create_model_artifact, find
from herdbook.settings import Settings
from tests.loader.hub import Hub, Repository
from tests.loader.no_network import KILLED, run_with, run_without
from tests.loader.samples import classifier_files, written

REF = "hf:deepset/gbert-base"
ASK = "import sys, herdbook.loader as l; print(l.find(sys.argv[1]).folder)"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it takes the kernel of Linux")


@pytest.fixture
def environ(home: Path, hub: Hub) -> dict[str, str]:
    """An environment whose hub answers."""
    hub.repositories["deepset/gbert-base"] = Repository(classifier_files())
    folder = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": folder, "HERDBOOK_HOME": str(home)}


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.socket()",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1')",
        "import obstore, obstore.store as s; obstore.head(s.HTTPStore('http://127.0.0.1:1', "
        "client_options={'allow_http': True}), 'x')",
    ],
)
def test_whatever_asks_for_a_connection_is_noticed(code: str, environ: dict[str, str]) -> None:
    wrapped = f"try:\n    {code}\nexcept Exception:\n    pass\nprint('went on')"

    without, with_one = run_without(wrapped, **environ), run_with(wrapped, **environ)

    assert (without.returncode, without.stdout) == (KILLED, "")
    assert with_one.stdout == "went on\n", with_one.stderr


def test_without_the_setting_a_model_of_the_hub_is_asked_for(environ: dict[str, str]) -> None:
    assert run_without(ASK, REF, **environ).returncode == KILLED


def test_a_model_that_was_fetched_is_given_without_a_network(
    environ: dict[str, str], settings: Settings
) -> None:
    folder = find(REF, settings=settings).folder

    done = run_without(ASK, REF, **environ, HERDBOOK_OFFLINE="1")

    assert (done.stdout, done.returncode) == (f"{folder}\n", 0), done.stderr


@pytest.mark.parametrize(
    "ref", [REF, "s3://models/gbert", "gs://models/gbert", "az://models/gbert"]
)
def test_what_was_not_fetched_is_an_error_that_says_how(ref: str, environ: dict[str, str]) -> None:
    code = "import sys; from herdbook.loader.__main__ import main; sys.exit(main())"

    done = run_without(code, ref, **environ, HERDBOOK_OFFLINE="1")

    assert done.returncode == 3, done.stderr
    assert f"`herdbook artifacts download {ref}` fetches it" in done.stderr
    assert "HERDBOOK_OFFLINE=1 forbids it here" in done.stderr


def test_an_artifact_is_loaded_without_a_network(
    environ: dict[str, str], settings: Settings, tmp_path: Path
) -> None:
    source = written(tmp_path / "out", {"w.safetensors": classifier_files()["model.safetensors"]})
    made = create_model_artifact(f"local:{source}", "v1", settings=settings)
    code = "import herdbook.loader as l; print(sorted(l.load().model))"

    done = run_without(code, **environ, HERDBOOK_OFFLINE="1", ML_MODEL_REF=f"local:{made}")

    assert done.stdout == "['classifier.bias', 'classifier.weight']\n", done.stderr


def test_a_register_behind_a_network_is_not_asked(environ: dict[str, str]) -> None:
    for url, said in [
        ("postgresql://me@127.0.0.1:1/register", "is a database on the network"),
        ("http://127.0.0.1:1", "HERDBOOK_OFFLINE=1"),
    ]:
        done = run_without(
            ASK, "herdbook:majora@champion", **environ, HERDBOOK_OFFLINE="1", HERDBOOK_URL=url
        )

        assert done.returncode == 1, done.stderr
        assert said in done.stderr
