"""What is inside a version is for those who may read its model."""

import pytest
from starlette.testclient import TestClient

from herdbook.core.artifacts import digest_of
from tests.formats.samples import safetensors_file
from tests.server.conftest import Served

WEIGHTS = safetensors_file()


def pushed(client: TestClient, model: str) -> None:
    digest = digest_of(WEIGHTS)
    headers = {"Content-Type": "application/octet-stream"}
    assert client.put(f"/blobs/{digest}", content=WEIGHTS, headers=headers).status_code == 201
    file = {"path": "w.safetensors", "size": len(WEIGHTS), "digest": digest, "role": "weights"}
    body = {"model_name": model, "artifacts": [file]}
    assert client.post("/models/register", json=body).status_code == 201


def test_who_may_read_a_model_is_told_what_is_inside(guarded: Served) -> None:
    pushed(guarded.holding("contributor"), "gnn")

    reader, other = guarded.holding("viewer:gnn"), guarded.holding("admin:search/*")
    address = "/models/gnn/versions/v1/contents"

    found = reader.get(address).json()
    assert (found["ref"], found["parameters"]) == ("gnn:v1", 15)
    assert other.get(address).status_code == 404
    assert guarded.client().get(address).status_code == 401


def test_who_may_read_both_models_is_told_what_changed(guarded: Served) -> None:
    for model in ("gnn", "oracle"):
        pushed(guarded.holding("contributor"), model)
    both = guarded.holding("viewer:gnn", "viewer:oracle")
    address = "/artifacts/changes?old=gnn:v1&new=oracle:v1"

    assert both.get(address).json()["same_tensors"] == 2
    for one in ("viewer:gnn", "viewer:oracle"):
        assert guarded.holding(one).get(address).status_code == 404


@pytest.mark.parametrize("role", ["contributor", "deployer"])
def test_the_file_policy_is_set_by_who_may_deploy(guarded: Served, role: str) -> None:
    pushed(guarded.holding("admin"), "gnn")

    answer = guarded.holding(role).patch("/models/gnn", json={"file_policy": "refuse"})

    assert answer.status_code == (200 if role == "deployer" else 403)
