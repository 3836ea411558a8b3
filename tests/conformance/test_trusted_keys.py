"""The keys a model trusts, in every database: what may become champion, who says so."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from herdbook.core.artifacts import Artifact, digest_of
from herdbook.core.deployments import MoveKind
from herdbook.core.keys import Proof, key_digest
from herdbook.core.models import Model, Status, Version
from herdbook.errors import Forbidden, Immutable, Invalid, Refused
from herdbook.services import artifacts, deployments, events, models, versions
from herdbook.services.models import About
from herdbook.services.versions import Draft
from herdbook.storage.sql.work import writing
from tests.registers import Register


def a_key() -> str:
    """A new public key as PEM."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode()


OURS, THEIRS = a_key(), a_key()


def pushed(register: Register, ref: str, data: bytes = b"", **draft: Any) -> Version:
    """Register a version with bytes."""
    data = data or ref.encode()
    file = Artifact(path="w.bin", size=len(data), digest=digest_of(data), role="weights")
    register.write(artifacts.stored, sizes={file.digest: file.size})
    return register.add(ref, artifacts=(file,), **draft)


def trust(register: Register, *keys: str, model: str = "majora") -> Model:
    """Have a model trust exactly these keys."""
    return register.write(models.update, model, about=About(trusted_keys=keys))


def sign(register: Register, version: Version, key: str = "", *, text: str = "{}") -> None:
    """Keep a signature that the door found to be by this key, or by none."""
    proof = Proof(manifest=version.facts.manifest, key=key_digest(key)) if key else None
    register.write(artifacts.sign, version.ref, signature=text, proof=proof)


def champion(register: Register) -> str:
    """The champion of majora."""
    return register.read(models.get, "majora").champion


# --- who may become champion ---


def test_where_no_key_is_trusted_nothing_has_to_be_signed(register: Register) -> None:
    register.add("majora:v1")

    register.write(deployments.promote, "majora:v1")

    assert champion(register) == "v1"
    with register.database.reading() as connection:
        doc = connection.exec_driver_sql("SELECT doc FROM models").scalar_one()
    assert "trusted_keys" not in doc


WAYS = {
    "promote": lambda r: r.write(deployments.promote, "majora:v2"),
    "set current": lambda r: r.write(deployments.set_current, "majora:v2"),
    "set deployed": lambda r: r.write(deployments.set_deployed, "majora:v2", deployed=True),
    "set status": lambda r: r.write(versions.set_status, "majora:v2", status=Status.PRODUCTION),
    "switch": lambda r: r.write(deployments.switch, "majora", to="blue"),
    "roll back": lambda r: r.write(deployments.rollback, "majora"),
    "roll back to": lambda r: r.write(deployments.rollback, "majora", to="v2"),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_to_production_without_a_signature_by_a_trusted_key(
    register: Register, way: str
) -> None:
    one, two = pushed(register, "majora:v1"), pushed(register, "majora:v2")
    register.write(deployments.promote, "majora:v2")
    register.write(deployments.promote, "majora:v1")
    register.write(deployments.promote, "majora:v2", alias="blue")
    trust(register, OURS)
    sign(register, one, OURS)
    sign(register, two, THEIRS)

    with pytest.raises(Refused, match="majora:v2 cannot become the champion") as refused:
        WAYS[way](register)

    assert "`herdbook artifacts sign majora:v2 --key KEY`" in str(refused.value)
    assert (champion(register), register.status("majora:v2")) == ("v1", Status.DEPRECATED)
    sign(register, two, OURS, text='{"n":2}')
    WAYS[way](register)
    assert champion(register) == "v2"


def test_what_begins_in_production_is_registered_only_when_its_bytes_are_signed(
    register: Register,
) -> None:
    one = pushed(register, "majora:v1", b"the same")
    trust(register, OURS)

    with pytest.raises(Refused, match="register it in development"):
        pushed(register, "majora:v2", b"the same", status=Status.PRODUCTION)
    assert register.read(models.get, "majora").versions == 1
    sign(register, one, OURS)
    made = pushed(register, "majora:v2", b"the same", status=Status.PRODUCTION)

    assert (made.status, champion(register)) == (Status.PRODUCTION, "v2")


def test_other_aliases_move_freely(register: Register) -> None:
    pushed(register, "majora:v1")
    trust(register, OURS)

    moved = register.write(deployments.promote, "majora:v1", alias="green")

    assert moved.to_number == "v1"


def test_each_refusal_says_what_is_lacking(register: Register) -> None:
    register.add("majora:v1")
    two, three = pushed(register, "majora:v2"), pushed(register, "majora:v3")
    trust(register, OURS)
    sign(register, two, THEIRS)
    sign(register, three)
    sign(register, three, text='{"n":2}')

    said = []
    for ref in ("majora:v1", "majora:v2", "majora:v3"):
        with pytest.raises(Refused) as refused:
            register.write(deployments.promote, ref)
        said.append(str(refused.value))

    assert "registered without bytes" in said[0]
    assert "`herdbook add majora --path FOLDER`" in said[0]
    assert "its one signature was not verified here" in said[1]
    assert "none of its 2 signatures was verified here" in said[2]


def test_the_signature_of_another_version_is_none(register: Register) -> None:
    one, two = pushed(register, "majora:v1"), pushed(register, "majora:v2")
    trust(register, OURS)
    moved = Proof(manifest=one.facts.manifest, key=key_digest(OURS))

    # What the door looked at is not what the reference points at by now.
    register.write(artifacts.sign, two.ref, signature="{}", proof=moved)

    with pytest.raises(Refused, match="not verified here"):
        register.write(deployments.promote, two.ref)


# --- which keys count ---


def test_a_key_that_is_taken_away_no_longer_counts_and_who_serves_stays(
    register: Register,
) -> None:
    one, two = pushed(register, "majora:v1"), pushed(register, "majora:v2")
    trust(register, OURS, THEIRS)
    sign(register, one, OURS)
    sign(register, two, THEIRS)
    register.write(deployments.promote, one.ref)
    register.write(deployments.promote, two.ref)

    trust(register, THEIRS)

    assert champion(register) == "v2"
    with pytest.raises(Refused, match="majora:v1"):
        register.write(deployments.rollback, "majora")
    trust(register, THEIRS, OURS)
    assert register.write(deployments.rollback, "majora").to_number == "v1"


def test_a_model_that_trusts_nobody_again_takes_what_is_not_signed(register: Register) -> None:
    register.add("majora:v1")
    trust(register, OURS)

    changed = trust(register)

    assert changed.trusted_keys == ()
    register.write(deployments.promote, "majora:v1")


def test_a_signature_that_is_here_counts_once_it_was_verified(register: Register) -> None:
    one = pushed(register, "majora:v1")
    sign(register, one)
    trust(register, OURS)
    with pytest.raises(Refused):
        register.write(deployments.promote, one.ref)

    sign(register, one, OURS)
    sign(register, one, OURS)

    register.write(deployments.promote, one.ref)
    (kept,) = register.read(artifacts.signatures, one.ref).signatures
    assert kept.key == key_digest(OURS)
    found = register.read(events.page, action="version.signed").items
    said = [event.body for event in sorted(found, key=lambda event: event.seq)]
    manifest = {"manifest": one.facts.manifest}
    assert said == [manifest, manifest | {"key": key_digest(OURS)}]


def test_what_was_verified_is_not_forgotten_by_who_does_not_look(register: Register) -> None:
    one = pushed(register, "majora:v1")
    trust(register, OURS)
    sign(register, one, OURS)

    register.write(artifacts.sign, one.ref, signature="{}")

    register.write(deployments.promote, one.ref)


def test_the_key_a_signature_was_last_found_to_be_by_is_what_counts(register: Register) -> None:
    one = pushed(register, "majora:v1")
    trust(register, OURS)
    sign(register, one, THEIRS)

    sign(register, one, OURS)

    register.write(deployments.promote, one.ref)


# --- who sets them ---


def test_who_may_only_register_does_not_say_whom_to_trust(register: Register) -> None:
    register.add("majora:v1")
    contributor, deployer = register.seen_by("contributor"), register.seen_by("deployer")

    for keys in ((OURS,), ()):
        with pytest.raises(Forbidden):
            trust(contributor, *keys)
    with pytest.raises(Forbidden):
        contributor.write(models.create, "oracle", about=About(trusted_keys=(OURS,)))
    assert trust(deployer, OURS).trusted_keys == (OURS,)


def test_only_keys_are_trusted_and_only_by_models(register: Register) -> None:
    register.add("majora:v1")

    with pytest.raises(Invalid, match="P-256"):
        trust(register, "majora.pub")
    with pytest.raises(Immutable, match="trusted keys"):
        register.write(versions.annotate, "majora:v1", about=About(trusted_keys=()))


def test_a_draft_says_nothing_of_trust(register: Register) -> None:
    trusting = register.write(models.create, "gnn", about=About(trusted_keys=(OURS, OURS)))

    register.write(versions.register, "gnn", draft=Draft())

    assert trusting.trusted_keys == (OURS,)
    assert register.read(models.get, "gnn").trusted_keys == (OURS,)


# --- at the same time ---


def test_a_move_that_waits_for_new_keys_is_held_to_them(register: Register) -> None:
    pushed(register, "majora:v1")
    begun, about = threading.Event(), About(trusted_keys=(OURS,))

    def move() -> object:
        begun.set()
        return register.write(deployments.promote, "majora:v1")

    with ThreadPoolExecutor(1) as pool:
        with writing(register.database, register.by, clock=register.clock) as work:
            models.update(cast(Any, work), "majora", about=about)
            moving = pool.submit(move)
            begun.wait(5)
            with pytest.raises(TimeoutError):
                moving.result(timeout=0.3)
        with pytest.raises(Refused, match="majora:v1"):
            moving.result(timeout=20)

    assert champion(register) == ""


def test_a_move_by_keys_that_were_read_before_would_not_be(register: Register) -> None:
    """The negative control: what the test above would find."""
    version = pushed(register, "majora:v1")
    model = register.read(models.get, "majora")
    trust(register, OURS)

    def naive(work: Any) -> None:
        place = deployments.Place(replace(model), "champion", 0, None)
        deployments._move(work, place, version, kind=MoveKind.PROMOTE, reason="")

    register.write(naive)

    assert champion(register) == "v1"
