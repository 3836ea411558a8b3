"""Moving documents on the command line: planned, carried, verified, switched, undone."""

import json
from pathlib import Path

import pytest

from herdbook.cli.documents_texts import spaces_text
from herdbook.errors import Invalid
from herdbook.front.moving.queries import read_queries
from tests.cli.conftest import Run
from tests.cli.documents_samples import (
    COUNT,
    NEW,
    POOR,
    QUERIES,
    SLOW,
    STORE,
    contents,
    done,
    exported,
    held,
    set_up,
    shown,
    text_of,
)

__all__ = ["held"]
MIGRATE = ("migrate", "docs", "--to", "v2", "--encoder", NEW)
STRATEGIES = """
def tagged(metadata):
    return {"language": metadata.pop("lang"), **metadata}

def back(metadata):
    return {"lang": metadata.pop("language"), **metadata}

def register(documents):
    documents.register_strategy("gbert", "v1", "v1.5", tagged, back=back)
    documents.register_strategy("gbert", "v1.5", "v2", way="reembed")
"""


def refused(run: Run, *words: str) -> str:
    """What a command says that is answered with no."""
    answer = run("documents", *words)
    assert answer.status == 1, answer
    return answer.err


@pytest.mark.parametrize("store", [STORE, "chroma:vectors"])
@pytest.mark.parametrize("words", [("plan", "docs"), ("migrate", "docs", "--dry-run")])
def test_a_plan_changes_nothing(run: Run, store: str, words: tuple[str, ...]) -> None:
    set_up(run, store=store, poison=True)
    before = (contents(store), exported())

    answer = done(run, *words, "--to", "v2", "--encoder", NEW, "--price", "20")

    assert (contents(store), exported()) == before
    assert len(before[0]) == COUNT + 1
    assert "dry run" in answer.err
    for said in (
        "path       v1 reembed → v2",
        "documents  121",
        "tokens     about 1,",
        "costs      about 0.0",
        "of vectors more",
        "1 of 64 tried: tests.vectors_encoders:new raises ValueError: POISON is too much",
        "embedding_model_version v1 → v2, migration_history +1",
    ):
        assert said in answer.out, said


def test_a_plan_is_json_too(held: Run) -> None:
    found = shown(held, "plan", "docs", "--to", "v2", "--encoder", NEW, "--sampled", "16")

    assert found["migration"]["id"] == ""
    assert found["estimate"]["documents"] == COUNT
    assert found["estimate"]["sampled"] == 16
    assert len(found["estimate"]["examples"]) == 10


def test_documents_are_moved_switched_and_the_former_retired(held: Run) -> None:
    moved = done(held, *MIGRATE, "--queries", QUERIES)
    assert "phase    verified" in moved.out
    assert "ndcg       yes" in moved.out
    assert "overlap    shown" in moved.out
    assert "documents cutover docs" in moved.err
    assert "docs: backfill" in moved.err
    assert done(held, "set-aside", "docs").out == "Nothing was set aside.\n"
    assert shown(held, "show", "docs")["home"]["space"]["number"] == "v1"

    assert "searched as gbert:v2" in done(held, "cutover", "docs").out
    assert shown(held, "show", "docs")["home"]["space"]["number"] == "v2"
    asked = held("documents", "retire", "docs")
    assert asked.status == 2
    assert "no way back" in asked.err
    done(held, "retire", "docs", "--yes")

    hit = shown(held, "search", "docs", text_of(5), "-k", "1")["items"][0]
    assert hit["id"] == "d0005"
    assert [hop["to_version"] for hop in hit["metadata"]["migration_history"]] == ["v2"]
    assert {key.partition("/")[0] for key in contents(STORE)} == {"docs--v2"}
    assert shown(held, "list", "--migrations")["items"][0]["phase"] == "retired"
    assert held("documents", "rollback", "migration-1").status == 4


def test_cut_over_in_the_same_breath_and_back(held: Run) -> None:
    done(held, *MIGRATE, "--without-queries", "--cut-over")
    assert shown(held, "status", "docs")["phase"] == "observe"

    told = done(held, "rollback", "docs", "--reason", "worse in German")

    assert "docs is at gbert:v1; docs--v2 is removed" in told.out
    assert shown(held, "status", "migration-1")["reason"] == "worse in German"
    assert {key.partition("/")[0] for key in contents(STORE)} == {"docs"}


def test_without_queries_the_verification_says_no(held: Run) -> None:
    answer = held("documents", *MIGRATE)

    assert answer.status == 1
    assert "--without-queries" in answer.err
    assert "queries    NO" in answer.out
    assert "queries" in refused(held, "cutover", "docs")
    assert done(held, "verify", "docs", "--queries", QUERIES).status == 0
    assert "searched as" in done(held, "cutover", "docs").out


def test_a_worse_version_is_refused_and_may_be_forced_with_a_reason(held: Run) -> None:
    answer = held(
        "documents", "migrate", "docs", "--to", "v2", "--encoder", POOR, "--queries", QUERIES
    )
    assert answer.status == 1
    assert "ndcg       NO" in answer.out
    assert "rollback docs" in answer.err
    assert "ndcg" in refused(held, "cutover", "docs")

    done(held, "cutover", "docs", "--force", "the queries are of last year")

    assert shown(held, "status", "docs")["reason"] == "the queries are of last year"
    events = [json.loads(line) for line in exported() if "documents.cut_over" in line]
    assert "the queries are of last year" in json.dumps(events)


def test_a_document_that_cannot_be_moved_is_listed(run: Run) -> None:
    set_up(run, poison=True)

    answer = run("documents", *MIGRATE, "--queries", QUERIES)

    assert answer.status == 1
    assert "set_aside  NO" in answer.out
    aside = shown(run, "set-aside", "docs")["items"]
    assert [each["id"] for each in aside] == ["bad"]
    assert "POISON is too much" in aside[0]["reason"]
    again = ("verify", "docs", "--queries", QUERIES, "--accept-set-aside")
    assert "which was accepted" in done(run, *again).out


def test_into_another_field_of_the_same_collection(held: Run) -> None:
    done(held, *MIGRATE, "--queries", QUERIES, "--field", "--cut-over")

    home = shown(held, "show", "docs")["home"]
    assert home["place"] == {"collection": "docs", "field": "embedding_v2"}
    assert shown(held, "search", "docs", text_of(5), "-k", "1")["items"][0]["id"] == "d0005"


def test_the_budget_stops_and_more_of_it_goes_on(held: Run) -> None:
    options = ("--without-queries", "--price", "20", "--budget", "0.01", "--shard", "10")

    told = refused(held, *MIGRATE, *options)

    assert "the budget of 0.01 is spent" in told
    found = shown(held, "status", "docs")
    assert found["paused"] is True
    assert found["progress"]["cost"] < 0.02
    assert found["progress"]["shards_done"] < found["progress"]["shards"]
    assert "--budget MORE" in done(held, "status", "docs").err
    # To go on without more of it stops where it is.
    assert "is spent" in refused(held, "migrate", "docs", "--without-queries")
    assert shown(held, "resume", "docs", "--budget", "0.02")["options"]["budget"] == 0.02
    assert "is spent" in refused(held, "migrate", "docs", "--without-queries")
    done(held, "migrate", "docs", "--without-queries", "--budget", "5")
    assert shown(held, "status", "docs")["phase"] == "verified"
    events = [json.loads(line) for line in exported() if '"documents.resumed"' in line]
    assert len(events) == 2  # each change of the budget, and nothing else


def test_options_of_a_migration_under_way_cannot_be_changed(held: Run) -> None:
    assert held("documents", *MIGRATE).status == 1

    answer = held("documents", *MIGRATE, "--rate", "7")

    assert answer.status == 2
    assert "--rate cannot be changed" in answer.err
    other = held("documents", *MIGRATE[:4], "--encoder", POOR)
    assert other.status == 4
    assert "was begun with" in other.err
    # The command it was begun with goes on.
    assert done(held, *MIGRATE, "--without-queries").status == 0


def test_another_version_waits_for_the_first(held: Run) -> None:
    assert held("add", "gbert", "v3", "-q").status == 0
    assert held("documents", *MIGRATE).status == 1

    answer = held("documents", "migrate", "docs", "--to", "v3")

    assert answer.status == 4
    assert "migration-1" in answer.err


def test_a_paused_migration_says_why(held: Run) -> None:
    assert held("documents", *MIGRATE).status == 1

    assert "pauses" in done(held, "pause", "docs", "--reason", "incident upstream").out

    told = done(held, "status", "docs")
    assert "paused: incident upstream" in told.out
    assert "documents resume docs" in told.err
    assert "may go on" in done(held, "resume", "migration-1").out


def test_strategies_of_a_module_make_the_path(held: Run, tmp_path: Path) -> None:
    assert held("add", "gbert", "v1.5", "-q").status == 0
    (tmp_path / "my_strategies.py").write_text(STRATEGIES)
    use = ("--strategies", "my_strategies")
    path = shown(held, "path", "gbert", "v1", "v2", *use)["items"]
    assert [(step["to_version"], step["way"]) for step in path] == [
        ("v1.5", "metadata"),
        ("v2", "reembed"),
    ]
    assert path[0]["function"] == "my_strategies:tagged"
    back = shown(held, "path", "gbert", "v2", "v1", *use)["items"]
    assert [step["to_version"] for step in back] == ["v1.5", "v1"]
    assert "language - → de" in done(held, "plan", "docs", "--to", "v2", "--encoder", NEW, *use).out

    done(held, *MIGRATE, *use, "--queries", QUERIES, "--cut-over")

    hit = shown(held, "search", "docs", text_of(5), "-k", "1")["items"][0]
    assert hit["metadata"]["language"] == "de"
    assert "lang" not in hit["metadata"]
    history = hit["metadata"]["migration_history"]
    assert [hop["to_version"] for hop in history] == ["v1.5", "v2"]


def test_without_strategies_the_path_embeds_anew(held: Run) -> None:
    assert done(held, "path", "gbert", "v1", "v2").out.splitlines()[1].split() == [
        "v1", "v2", "reembed", "-",
    ]  # fmt: skip
    assert held("documents", "path", "gbert", "v1", "v9").status == 3


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("my_strategies.py", "--strategies my_strategies"),
        ("no_such_module_here", "cannot be imported"),
        ("json", "has no register"),
    ],
)
def test_a_module_without_strategies_is_refused(held: Run, module: str, why: str) -> None:
    answer = held("documents", "path", "gbert", "v1", "v2", "--strategies", module)

    assert answer.status == 2
    assert why in answer.err


def test_a_bridge_that_is_no_better_is_not_built(run: Run) -> None:
    set_up(run, count=400)
    words = ("bridge", "docs", "--to", "v2", "--encoder", NEW, "--queries", QUERIES)

    answer = run("documents", *words)

    assert answer.status == 1
    assert "No bridge" in answer.out
    assert "the old version" in answer.out
    assert shown(run, "show", "docs")["bridge"] == ""


def test_a_bridge_that_is_better_is_used_and_taken_away(run: Run) -> None:
    # The new version is of the old one's words, so a map between them is all there is to it.
    set_up(run, count=400)
    source = "python:tests.vectors_encoders:rotated"
    words = ("bridge", "docs", "--to", "v2", "--encoder", source, "--queries", "hard.jsonl")
    lines = [
        {"query": f"qumber {n} zord{n % 50}", "relevant": [f"d{n:04}"]} for n in range(0, 400, 7)
    ]
    Path("hard.jsonl").write_text("\n".join(map(json.dumps, lines)))

    tried = shown(run, *words, "--dry-run")
    assert tried["bridge"]["scores"]["bridge"] > tried["scores"]["old"]
    assert shown(run, "show", "docs")["bridge"] == ""
    told = done(run, *words, "--days", "7")

    assert "Used until" in told.out
    assert shown(run, "show", "docs")["bridge"] != ""
    assert shown(run, "search", "docs", "qumber 5 zord5", "-k", "1")["items"][0]["id"] == "d0005"
    done(run, "bridge", "docs", "--remove")
    assert shown(run, "show", "docs")["bridge"] == ""


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "it is no JSON"),
        ('["rain"]', "it has no text under query"),
        ('{"text": "rain", "relevant": ["d1"]}', "it has no text under query"),
        ('{"query": "rain"}', "relevant is neither"),
        ('{"query": "rain", "relevant": []}', "needs relevant documents"),
        ('{"query": "rain", "relevant": [1]}', "relevant is neither"),
        ('{"query": "rain", "relevant": {"d1": "2"}}', "the grade of 'd1' is no number"),
        ('{"query": "rain", "relevant": {"d1": true}}', "the grade of 'd1' is no number"),
        ('{"query": "rain", "relevant": {"d1": 0}}', "a grade above 0"),
        ('{"query": " ", "relevant": ["d1"]}', "needs a text"),
    ],
)
def test_a_line_that_is_no_labelled_query_is_named(line: str, why: str) -> None:
    good = '{"query": "rain", "relevant": {"d1": 2}}'

    with pytest.raises(Invalid, match=f"q.jsonl, line 3: .*{why}"):
        read_queries([good, "", line], name="q.jsonl")


def test_queries_may_be_graded_and_there_must_be_some(held: Run) -> None:
    found = read_queries(['{"query": "rain", "relevant": {"d1": 2, "d2": 0.5}}'])
    assert found[0].relevant == {"d1": 2.0, "d2": 0.5}
    Path("none.jsonl").write_text("\n")

    answer = held("documents", *MIGRATE, "--queries", "none.jsonl")

    assert answer.status == 2
    assert "holds no queries" in answer.err
    assert shown(held, "show", "docs")["migration"] == ""


def test_spaces_are_told_apart() -> None:
    assert spaces_text({}) == ""
    assert spaces_text({"ab" * 16: 2, "cd" * 16: 0}) == "abababababab 2"


def test_the_rate_is_kept(held: Run) -> None:
    import time

    began = time.monotonic()
    done(
        held, *MIGRATE[:4], "--encoder", SLOW, "--without-queries", "--rate", "60", "--shard", "20"
    )

    # The last twenty may go when a hundred have.
    assert time.monotonic() - began > 100 / 60
