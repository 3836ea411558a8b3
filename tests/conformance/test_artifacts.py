"""What every database promises of blobs, pins, manifests and signatures."""

from datetime import timedelta
from typing import Any

import pytest

from herdbook.core.access import Actor, grants
from herdbook.core.artifacts import Artifact, Manifest, digest_of
from herdbook.core.models import Status, Version
from herdbook.core.ports import Work
from herdbook.errors import Corrupt, NotFound
from herdbook.services import artifacts, models, versions
from herdbook.services.versions import Draft
from tests.registers import NOON, Register

LATE = NOON + timedelta(days=1)
ONE, TWO, THREE = (digest_of(name.encode()) for name in ("one", "two", "three"))


def file(path: str, digest: str, size: int = 3) -> Artifact:
    """A file of a version."""
    return Artifact(path=path, size=size, digest=digest, role="weights")


def sent(register: Register, *files: Artifact) -> None:
    """Have the bytes of files sent by the actor and noted."""
    register.write(artifacts.stored, sizes={one.digest: one.size for one in files})


def pushed(register: Register, ref: str, *files: Artifact, **draft: Any) -> Version:
    """Register a version with files whose bytes were sent."""
    sent(register, *files)
    return register.add(ref, artifacts=files, **draft)


def ask(register: Register, method: str, *args: Any, **kwargs: Any) -> Any:
    """Ask the port in a work that reads."""
    return register.read(lambda work: getattr(work.artifacts, method)(*args, **kwargs))


def tell(register: Register, method: str, *args: Any, **kwargs: Any) -> Any:
    """Tell the port something in a work that writes."""
    return register.write(lambda work: getattr(work.artifacts, method)(*args, **kwargs))


def loose(register: Register) -> list[str]:
    """The blobs that could be collected."""
    return [digest for digest, _ in ask(register, "loose", before=LATE, after="", limit=9)]


# --- what is inside ---


def test_what_is_known_to_be_inside_is_told_of_apart_from_what_it_is(register: Register) -> None:
    tell(register, "add", {ONE: 3, TWO: 3})
    tell(register, "describe", {ONE: '{"format":"gguf"}', THREE: "{}"})

    assert ask(register, "described", [ONE, TWO, THREE]) == {ONE}
    assert ask(register, "contents", [ONE, TWO, THREE]) == {ONE: '{"format":"gguf"}'}


# --- pins ---


def test_a_pinned_blob_is_kept_until_the_time_and_no_longer(register: Register) -> None:
    tell(register, "add", {ONE: 3})
    tell(register, "pin", [ONE], until=NOON + timedelta(hours=1), proven=False)

    kept = tell(register, "forget", ONE)
    register.clock.at += timedelta(hours=1)

    assert not kept
    assert loose(register) == [ONE]
    assert tell(register, "forget", ONE)


def test_a_blob_is_pinned_before_it_is_there(register: Register) -> None:
    tell(register, "pin", [ONE], until=LATE, proven=False)
    tell(register, "add", {ONE: 3})

    assert loose(register) == []
    assert not tell(register, "forget", ONE)


def test_a_shorter_pin_does_not_shorten_a_longer_one(register: Register) -> None:
    tell(register, "add", {ONE: 3})
    tell(register, "pin", [ONE], until=LATE, proven=False)
    tell(register, "pin", [ONE], until=NOON + timedelta(minutes=1), proven=False)
    register.clock.at += timedelta(hours=1)

    assert loose(register) == []


def test_who_has_sent_bytes_has_proven_it_and_nobody_else(register: Register) -> None:
    other = Register(register.database, Actor("someone", ()), register.clock)
    tell(register, "pin", [ONE, TWO], until=LATE, proven=True)
    tell(other, "pin", [ONE], until=LATE, proven=False)

    assert ask(register, "proven", [ONE, TWO, THREE]) == {ONE, TWO}
    assert ask(other, "proven", [ONE, TWO]) == set()


def test_what_was_proven_stays_so_when_it_is_pinned_again(register: Register) -> None:
    tell(register, "pin", [ONE], until=LATE, proven=True)
    tell(register, "pin", [ONE, ONE], until=LATE, proven=False)

    assert ask(register, "proven", [ONE]) == {ONE}


def test_nothing_is_proven_by_a_pin_that_ran_out(register: Register) -> None:
    tell(register, "pin", [ONE], until=NOON + timedelta(hours=1), proven=True)
    register.clock.at += timedelta(hours=1)

    assert ask(register, "proven", [ONE]) == set()


def test_pins_that_ran_out_are_forgotten_and_others_are_not(register: Register) -> None:
    tell(register, "pin", [ONE], until=NOON, proven=True)
    tell(register, "pin", [TWO], until=LATE, proven=True)

    tell(register, "forget_pins", NOON + timedelta(seconds=1))

    assert register.count("pins") == 1
    assert ask(register, "proven", [TWO]) == {TWO}


def test_pinning_nothing_is_nothing(register: Register) -> None:
    tell(register, "pin", [], until=LATE, proven=True)
    tell(register, "add", {})

    assert register.count("pins") == register.count("blobs") == 0
    assert ask(register, "sizes", []) == {}


# --- blobs ---


def test_a_blob_that_is_noted_stays_as_it_is(register: Register) -> None:
    tell(register, "add", {ONE: 3})
    tell(register, "describe", {ONE: "{}"})
    tell(register, "add", {ONE: 99, TWO: 2**53 - 1})

    assert ask(register, "sizes", [ONE, TWO, THREE]) == {ONE: 3, TWO: 2**53 - 1}
    assert ask(register, "contents", [ONE]) == {ONE: "{}"}


def test_more_digests_than_one_statement_takes(register: Register) -> None:
    sizes = {digest_of(str(n).encode()): n for n in range(1_203)}
    tell(register, "add", sizes)
    tell(register, "pin", sizes, until=LATE, proven=True)

    assert ask(register, "sizes", sizes) == sizes
    assert ask(register, "proven", sizes) == set(sizes)


def test_noted_blobs_come_in_order_page_by_page(register: Register) -> None:
    sizes = {ONE: 1, TWO: 2, THREE: 3}
    tell(register, "add", sizes)
    ordered = sorted(sizes.items())

    first = ask(register, "every", after="", limit=2)
    rest = ask(register, "every", after=first[-1][0], limit=2)

    assert [*first, *rest] == ordered
    assert ask(register, "loose", before=LATE, after=ordered[0][0], limit=1) == [ordered[1]]


def test_what_is_loose_is_old_held_by_nobody_and_pinned_by_nobody(register: Register) -> None:
    pushed(register, "majora:v1", file("a", ONE))
    tell(register, "pin", [TWO], until=LATE + timedelta(days=9), proven=False)
    tell(register, "add", {TWO: 3, THREE: 3})
    register.clock.at = LATE + timedelta(days=2)
    young = digest_of(b"young")
    tell(register, "add", {young: 3})

    assert loose(register) == [THREE]
    assert not tell(register, "forget", ONE)
    assert not tell(register, "forget", TWO)
    assert tell(register, "forget", young)


def test_what_is_forgotten_is_gone_and_may_be_noted_again(register: Register) -> None:
    tell(register, "add", {ONE: 3})

    assert tell(register, "forget", ONE)
    assert not tell(register, "forget", ONE)

    tell(register, "add", {ONE: 4})
    assert ask(register, "sizes", [ONE]) == {ONE: 4}


def test_what_is_inside_a_blob_is_kept_with_it_alone(register: Register) -> None:
    tell(register, "add", {ONE: 3})
    tell(register, "describe", {ONE: '{"kind":"gguf"}', TWO: "{}"})

    assert ask(register, "contents", [ONE, TWO]) == {ONE: '{"kind":"gguf"}'}
    assert ask(register, "sizes", [TWO]) == {}


# --- who holds what ---


def test_only_blobs_of_versions_one_may_read_are_readable(register: Register) -> None:
    pushed(register, "majora:v1", file("a", ONE))
    pushed(register, "oracle:v1", file("a", TWO))
    tell(register, "add", {THREE: 3})
    every = [ONE, TWO, THREE]

    assert ask(register, "readable", every) == {ONE, TWO}
    assert ask(register.seen_by("viewer:majora"), "readable", every) == {ONE}
    assert ask(register.seen_by("viewer:maj*"), "readable", every) == {ONE}
    assert ask(register.seen_by(), "readable", every) == set()


def test_blobs_of_deleted_versions_and_models_are_not_readable_but_held(
    register: Register,
) -> None:
    pushed(register, "majora:v1", file("a", ONE))
    pushed(register, "oracle:v1", file("a", TWO))
    register.write(versions.delete, "majora:v1")
    register.write(models.delete, "oracle")
    register.clock.at += timedelta(days=2)

    assert ask(register, "readable", [ONE, TWO]) == set()
    assert ask(register, "holders", [ONE, TWO]) == {ONE: ["majora:v1"], TWO: ["oracle:v1"]}
    assert loose(register) == []


def test_holders_and_owners_are_every_version_in_order(register: Register) -> None:
    pushed(register, "oracle:v1", file("a", ONE), file("b", TWO))
    pushed(register, "majora:v2", file("a", ONE))
    same = pushed(register, "majora:v10", file("a", ONE))
    register.write(versions.delete, "majora:v10")
    digest = same.facts.manifest

    assert ask(register, "holders", [ONE, TWO, THREE]) == {
        ONE: ["majora:v2", "majora:v10", "oracle:v1"],
        TWO: ["oracle:v1"],
    }
    assert ask(register, "owners", [digest, THREE]) == {digest: ["majora:v2", "majora:v10"]}


# --- manifests ---


def test_a_kept_manifest_is_given_back(register: Register) -> None:
    manifest = Manifest((file("a", ONE), file("b", ONE), file("c/d", TWO)))
    tell(register, "add", {ONE: 3, TWO: 3})

    for _ in range(2):
        tell(register, "keep", manifest)

    assert ask(register, "manifest", manifest.digest) == manifest
    assert register.count("manifest_blobs") == 2


def test_a_manifest_of_blobs_that_are_not_noted_is_not_kept(register: Register) -> None:
    tell(register, "add", {ONE: 3})

    with pytest.raises(NotFound, match="push it again"):
        tell(register, "keep", Manifest((file("a", ONE), file("b", TWO))))

    assert register.count("manifests") == register.count("manifest_blobs") == 0


def test_a_manifest_that_is_not_there_is_not_found(register: Register) -> None:
    version = register.add("majora:v1")

    with pytest.raises(NotFound, match=ONE):
        ask(register, "manifest", ONE)
    with pytest.raises(NotFound, match=ONE):
        tell(register, "sign", ONE, "{}")
    with pytest.raises(NotFound):
        tell(register, "attach", version)


def test_a_manifest_that_was_changed_is_corrupt(register: Register) -> None:
    digest = pushed(register, "majora:v1", file("a", ONE)).facts.manifest
    register.execute("UPDATE manifests SET doc = replace(doc, '\"a\"', '\"b\"')")

    with pytest.raises(Corrupt, match="restore"):
        ask(register, "manifest", digest)


def test_manifests_come_in_order_page_by_page(register: Register) -> None:
    pairs = [(f"majora:v{n}", file(str(n), ONE)) for n in (1, 2, 3)]
    known = sorted(pushed(register, ref, one).facts.manifest for ref, one in pairs)

    first = ask(register, "manifests", after="", limit=2)

    assert [*first, *ask(register, "manifests", after=first[-1], limit=2)] == known


def revised(register: Register, ref: str, *files: Artifact) -> Version:
    """Give a draft other files."""
    sent(register, *files)
    return register.write(versions.revise, ref, draft=Draft(artifacts=files))


def test_a_draft_that_is_revised_lets_go_of_the_files_it_had(register: Register) -> None:
    first = pushed(register, "majora:v1", file("a", ONE), file("b", TWO), status=Status.DRAFT)
    tell(register, "sign", first.facts.manifest, "{}")

    revised(register, "majora:v1", file("a", ONE), file("b", THREE))

    register.clock.at += timedelta(days=2)
    assert ask(register, "holders", [TWO, THREE]) == {THREE: ["majora:v1"]}
    assert loose(register) == [TWO]
    assert tell(register, "forget", TWO)
    with pytest.raises(NotFound):
        ask(register, "manifest", first.facts.manifest)


def test_files_another_version_has_too_stay_when_one_lets_go(register: Register) -> None:
    first = pushed(register, "majora:v1", file("a", ONE), status=Status.DRAFT)
    pushed(register, "oracle:v1", file("a", ONE))

    revised(register, "majora:v1", file("a", TWO))
    revised(register, "majora:v1", file("a", TWO))

    assert ask(register, "owners", [first.facts.manifest]) == {first.facts.manifest: ["oracle:v1"]}
    assert ask(register, "holders", [TWO]) == {TWO: ["majora:v1"]}


# --- signatures ---


def test_signatures_come_oldest_first_and_the_same_is_kept_once(register: Register) -> None:
    digest = pushed(register, "majora:v1", file("a", ONE)).facts.manifest
    other = Register(register.database, Actor("someone", grants(["admin"])), register.clock)

    tell(register, "sign", digest, '{"n":1}')
    tell(other, "sign", digest, '{"n":2}')
    tell(other, "sign", digest, '{"n":1}')

    found = ask(register, "signatures", digest)
    assert [(one.text, one.by) for one in found] == [('{"n":1}', "curator"), ('{"n":2}', "someone")]
    assert found[0].at < found[1].at
    assert ask(register, "signatures", ONE) == []


def test_what_a_work_wrote_it_sees_and_an_error_undoes(register: Register) -> None:
    def job(work: Work) -> None:
        work.artifacts.add({ONE: 3})
        work.artifacts.keep(Manifest((file("a", ONE),)))
        assert work.artifacts.sizes([ONE]) == {ONE: 3}
        raise NotFound("stop")

    with pytest.raises(NotFound):
        register.write(job)

    assert register.count("blobs") == register.count("manifests") == 0


def test_a_register_has_a_key_of_its_own_that_stays(register: Register) -> None:
    first, again = tell(register, "register_key"), tell(register, "register_key")

    assert first == again
    assert len(first) == 32


def test_what_somebody_pins_and_no_version_holds_is_awaited(register: Register) -> None:
    tell(register, "add", {ONE: 3, TWO: 5})
    tell(register, "pin", [ONE], until=NOON + timedelta(hours=1), proven=True)

    assert tell(register, "awaited") == (1, 3)
