"""What a look at the whole database finds when it was changed behind the program's back."""

from datetime import timedelta

import pytest

from herdbook.core.artifacts import Artifact, digest_of
from herdbook.core.models import Status
from herdbook.services import artifacts, deployments, models, versions
from herdbook.storage.sql import health
from tests.registers import Register, drop_guards

FILES = tuple(
    Artifact(path=name, size=len(name), digest=digest_of(name.encode()), role="config")
    for name in ("config.json", "labels.json")
)


@pytest.fixture
def lived(register: Register) -> Register:
    """A register in which everything happened once."""
    for number in ("v1", "v2", "v3"):
        register.add(
            f"majora:{number}", status=Status.PRODUCTION, metrics={"f1": 0.5}, tags={"coder": ""}
        )
        register.clock.at += timedelta(days=1)
    register.write(artifacts.stored, sizes={file.digest: file.size for file in FILES})
    register.add("majora:v4", status=Status.DRAFT, artifacts=FILES[:1])
    signed = register.write(versions.revise, "majora:v4", draft=versions.Draft(artifacts=FILES))
    register.write(lambda work: work.artifacts.sign(signed.facts.manifest, "{}"))
    register.add("gnn:v1", artifacts=FILES[1:])
    register.add("oracle:v1", parents=("majora:v1",), training_data=("toolbench",))
    register.write(deployments.promote, "majora:v2", alias="blue")
    register.write(deployments.rollback, "majora")
    register.write(deployments.promote, "oracle:v1", alias="blue")
    register.write(deployments.promote, "majora:v1", alias="green")
    register.write(deployments.remove, "majora", "green")
    register.write(versions.delete, "majora:v1")
    register.write(versions.set_status, "majora:v4", status=Status.DEVELOPMENT)
    register.write(models.delete, "oracle")
    return register


def found(register: Register) -> list[str]:
    """What is wrong with a register."""
    with register.database.reading() as connection:
        return list(health.inconsistencies(connection))


def test_nothing_is_wrong_with_what_the_program_wrote(lived: Register) -> None:
    assert found(lived) == []


def test_missing_guards_are_named(lived: Register) -> None:
    drop_guards(lived)

    told = found(lived)

    assert len(told) == (7 if lived.database.is_sqlite else 8)
    assert "the guard events_fixed is missing" in told[0]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            'UPDATE versions SET facts = replace(facts, \'"git_commit":""\', '
            "'\"git_commit\":\"abcdef\"') WHERE number = 'v2'",
            ["the digest of majora:v2 is not that of its facts", "majora:v2: git_commit is not"],
        ),
        (
            "UPDATE versions SET status = 'archived' WHERE number = 'v3'",
            ["majora:v3: status is not what"],
        ),
        (
            "UPDATE versions SET number = 'v9', number_key = 'x' WHERE number = 'v3'",
            ["the digest of majora:v9", "majora:v9: number, number_key is not"],
        ),
        (
            "UPDATE versions SET cost_usd = 1 WHERE number = 'v3'",
            ["majora:v3: cost_usd is not"],
        ),
        (
            "UPDATE versions SET about = '{' WHERE number = 'v3'",
            ["what is stored of majora:v3 cannot be read"],
        ),
        (
            "UPDATE aliases SET version_id = (SELECT id FROM versions WHERE number = 'v3') "
            "WHERE name = 'champion'",
            [
                "majora says its aliases are blue v2, champion v2, they are blue v2, champion v3",
                "majora:v2 says its aliases are blue, champion, they are blue",
                "majora:v2 is production and not the champion",
                "majora:v3 says its aliases are none, they are champion",
                "majora:v3 is deprecated and the champion",
                "majora@champion points at v3, its last move brought it to v2",
            ],
        ),
        (
            "UPDATE aliases SET epoch = 99 WHERE name = 'champion'",
            ["majora@champion does not say when, by whom and at which epoch"],
        ),
        (
            'UPDATE models SET doc = replace(doc, \'"blue":"v2"\', \'"blue":"v3"\') '
            "WHERE name = 'majora'",
            ["majora says its aliases are blue v3, champion v2, they are blue v2, champion v2"],
        ),
        ("UPDATE models SET owner = 'x' WHERE name = 'majora'", ["majora: owner is not what"]),
        ("DELETE FROM aliases WHERE name = 'green'", ["majora@green has a history, but"]),
        ("UPDATE moves SET doc = '[]' WHERE alias = 'green'", ["the last move of majora@green"]),
        (
            "DELETE FROM moves WHERE alias = 'green'",
            ["majora@green points at nothing, but never moved"],
        ),
        (
            "UPDATE manifests SET doc = replace(doc, 'labels.json', 'labels.jsom') "
            "WHERE id = (SELECT min(id) FROM manifests)",
            ["is not the one of that digest: it was changed"],
        ),
        (
            "UPDATE manifests SET doc = '{}' WHERE id = (SELECT min(id) FROM manifests)",
            ["is not the one of that digest", "cannot be read: this is no manifest"],
        ),
        (
            "UPDATE manifests SET size = 7 WHERE id = (SELECT min(id) FROM manifests)",
            ["is noted with 7 bytes, not 22"],
        ),
        (
            "UPDATE manifests SET digest = replace(digest, 'sha256:', 'sha512:') WHERE id = "
            "(SELECT max(id) FROM manifests)",
            ["gnn:v1 says its manifest is sha256:", "is not the one of that digest"],
        ),
        (
            "UPDATE blobs SET size = 12 WHERE id = (SELECT min(id) FROM blobs)",
            [f"{FILES[0].digest} is noted with 12 bytes, not 11"],
        ),
        (
            "DELETE FROM manifest_blobs WHERE blob_id = (SELECT min(id) FROM blobs)",
            [f"names {FILES[0].digest}, and does not hold it"],
        ),
        (
            "INSERT INTO manifest_blobs SELECT max(manifest_id), min(blob_id) FROM manifest_blobs",
            [f"holds {FILES[0].digest}, and does not name it"],
        ),
        (
            "DELETE FROM version_manifests WHERE manifest_id = (SELECT max(id) FROM manifests)",
            ["the one it holds is none", "no version has the manifest sha256:"],
        ),
        (
            "INSERT INTO version_manifests SELECT v.id, m.id FROM versions v, manifests m "
            "WHERE v.number = 'v3' AND m.id = (SELECT max(id) FROM manifests)",
            ["majora:v3 says its manifest is none, the one it holds is sha256:"],
        ),
        (
            "UPDATE version_manifests SET manifest_id = (SELECT max(id) FROM manifests)",
            ["majora:v4 says its manifest is sha256:", "no version has the manifest sha256:"],
        ),
        (
            "UPDATE signatures SET doc = '[]'",
            ["a signature of the manifest sha256:"],
        ),
        ("UPDATE chain SET seq = 3", ["the audit log holds 21 events up to 21, its head is at 3"]),
        ("DELETE FROM events WHERE seq = 2", ["the audit log holds 20 events up to 21"]),
    ],
)
def test_what_was_changed_is_told(lived: Register, statement: str, told: list[str]) -> None:
    guards = len(health.GUARDS["sqlite" if lived.database.is_sqlite else "postgresql"])
    drop_guards(lived)
    lived.execute(statement)

    sentences = found(lived)[guards:]

    assert len(sentences) == len(told), sentences
    for sentence, part in zip(sentences, told, strict=True):
        assert part in sentence


def test_more_than_a_batch_is_looked_at(register: Register) -> None:
    with register.tried() as work:
        for _ in range(620):
            versions.register(work, "majora", draft=versions.Draft())
        work.finish()

        wrong = list(health._wrong_versions(work.connection))

    assert wrong == []
