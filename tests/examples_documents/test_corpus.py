"""The corpus is what the docstrings of a folder say, in an order that stays."""

from pathlib import Path

from examples.documents import corpus
from examples.documents.corpus import SHORTEST, documents, queries

BODY = "It is told what they are by the plan, and stops where a value is missing in both of them."


def source(*functions: tuple[str, str]) -> str:
    return "".join(f'def {name}():\n    """{said}"""\n\n' for name, said in functions)


def read(root: Path) -> list[tuple[str, str, str]]:
    return list(corpus._told_apart(corpus._read(root)))


def test_a_document_is_a_docstring_without_the_sentence_that_asks_for_it(tmp_path: Path) -> None:
    said = f"Compare two\n    values, e.g. of sensors.\n\n    {BODY}"
    (tmp_path / "plant.py").write_text(source(("compare", said)))

    assert read(tmp_path) == [("plant.compare", "Compare two values, e.g. of sensors.", BODY)]


def test_names_are_those_an_import_would_use(tmp_path: Path) -> None:
    inner = tmp_path / "plant" / "pumps"
    inner.mkdir(parents=True)
    (inner / "__init__.py").write_text(
        f'"""Say what a pump is. {BODY}"""\nclass Pump:\n    """Be what a pump is. Now {BODY}"""\n'
    )

    assert [name for name, _, _ in read(tmp_path)] == ["plant.pumps", "plant.pumps.Pump"]


def test_what_says_too_little_or_the_same_again_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        source(
            ("short", "Compare two of the values. That is all."),
            ("silent", ""),
            ("terse", f"Compare. {BODY}"),
            ("first", f"Compare two of the values. {BODY}"),
            ("same_question", f"Compare two of the values. Now {BODY}"),
            ("same_body", f"Take apart two of the values. {BODY}"),
        )
    )

    assert [name for name, _, _ in read(tmp_path)] == ["one.first"]


def test_sources_that_cannot_be_read_are_passed_over_and_none_is_run(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def broken(:\n")
    (tmp_path / "latin.py").write_bytes(b"# \xe9\xff\n")
    (tmp_path / "escape.py").write_text(f'"""Say what it is now. {BODY}"""\nX = "\\d"\n')
    (tmp_path / "running.py").write_text(
        f'"""Say what runs here. Now {BODY}"""\nraise SystemExit(3)\n'
    )

    assert {name for name, _, _ in read(tmp_path)} == {"escape", "running"}


def test_tests_and_copies_of_other_packages_are_left_out(tmp_path: Path) -> None:
    for folder in ("tests", "_vendor", "plant"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "pump.py").write_text(f'"""Say what {folder} is now. {BODY}"""\n')

    assert [name for name, _, _ in read(tmp_path)] == ["plant.pump"]


def test_a_file_gives_no_more_than_a_few(tmp_path: Path) -> None:
    every = [(f"f{at}", f"Compare {at} of the values. {at} {BODY}") for at in range(20)]
    (tmp_path / "generated.py").write_text(source(*every))

    assert len(read(tmp_path)) == 5


def test_the_installed_packages_say_enough_and_always_the_same() -> None:
    many, few = documents(300), documents(40)

    assert many[:40] == few
    assert len({each.id for each in many}) == len(many) == 300
    assert all(len(each.text) >= SHORTEST for each in many)
    assert len({each.id.partition(".")[0] for each in many}) > 20


def test_every_query_asks_for_the_document_at_its_place() -> None:
    for query, document in zip(queries(100), documents(100), strict=True):
        assert query.relevant == {document.id: 1.0}
        assert query.text not in document.text
