"""The file policy in the database: who sets it, what it leaves as it was, whom it tells."""

import pytest

from herdbook.core.artifacts import Artifact, digest_of
from herdbook.core.models import FilePolicy, Model
from herdbook.errors import Forbidden, NotFound
from herdbook.services import models, versions
from herdbook.services.models import About
from herdbook.services.versions import Draft
from tests.registers import Register


def test_who_may_only_register_does_not_set_the_policy_they_are_held_to(register: Register) -> None:
    register.add("majora:v1")
    contributor, deployer = register.seen_by("contributor"), register.seen_by("deployer")
    about = About(file_policy=FilePolicy.ALLOW)

    with pytest.raises(Forbidden):
        contributor.write(models.update, "majora", about=about)
    with pytest.raises(Forbidden):
        contributor.write(models.create, "oracle", about=about)
    assert deployer.write(models.update, "majora", about=about).file_policy is FilePolicy.ALLOW


def test_models_that_were_written_before_there_was_a_policy_stay_as_they_are(
    register: Register,
) -> None:
    register.add("majora:v1")

    found: Model = register.read(models.get, "majora")

    assert found.file_policy is None
    with register.database.reading() as connection:
        model = connection.exec_driver_sql("SELECT doc FROM models").scalar_one()
        version = connection.exec_driver_sql("SELECT about FROM versions").scalar_one()
    assert "file_policy" not in model
    assert "warnings" not in version


def test_digests_that_others_sent_are_not_told_about(register: Register) -> None:
    """Whoever may not have the bytes learns nothing of them from a policy."""
    digest = digest_of(b"what only search knows")
    register.write(lambda work: work.artifacts.add({digest: 22}))
    file = Artifact(path="model.pt", size=22, digest=digest, role="weights")
    thief = register.seen_by("contributor:search/*")

    with pytest.raises(NotFound, match="not here"):
        thief.write(versions.register, "search/a", draft=Draft(artifacts=(file,), risks=None))
