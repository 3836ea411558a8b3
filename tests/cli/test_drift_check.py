"""`herdbook drift check`: what it says, its status, and a page that nobody's names get out of."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from herdbook.cli.drift_check import check
from herdbook.cli.session import Session
from herdbook.errors import Invalid, Unavailable

HOSTILE = "</title><script>alert(1)</script>\"' onload=x \x1b[31m\u202e"


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A reference and what came after: the score moved."""
    for name, seed, shift in (("ref", 1, 0.0), ("prod", 2, 0.5)):
        rng = np.random.default_rng(seed)
        data = {
            "score": rng.normal(size=2_000) + shift,
            "speed": rng.normal(size=2_000),
            HOSTILE: rng.choice(["<b>de</b>", "&amp;", "at"], 2_000),
        }
        parquet.write_table(pa.table(data), tmp_path / f"{name}.parquet")
    return str(tmp_path / "ref.parquet"), str(tmp_path / "prod.parquet")


def run(*words: str, session: Session | None = None) -> Result:
    # A command remembers how help is asked for: as under `herdbook`, for tests of help pages.
    return CliRunner().invoke(
        check, words, obj=session or Session(), help_option_names=["-h", "--help"]
    )


def test_drift_ends_with_one_and_says_what_moved(files: tuple[str, str]) -> None:
    found = run("--reference", files[0], "--current", files[1])

    assert found.exit_code == 1
    assert "is at least 0.1 (p < 0.0001)" in found.output
    assert "1 of 3 columns drifted." in found.output
    assert "score: above" in found.output
    assert "\x1b" not in found.output


def test_no_drift_ends_with_zero(files: tuple[str, str]) -> None:
    same = run("--reference", files[0], "--current", files[0])
    other = run("--reference", files[0], "--current", files[1], "--column", "speed")
    lenient = run("--reference", files[0], "--current", files[1], "--threshold", "0.5")

    assert [same.exit_code, other.exit_code, lenient.exit_code] == [0, 0, 0]
    assert "0 of 1 columns drifted." in other.output


def test_json_and_quiet_are_for_programs(files: tuple[str, str]) -> None:
    as_json = run("--reference", files[0], "--current", files[1], "--json")
    quiet = run("--reference", files[0], "--current", files[1], "--quiet")

    told = json.loads(as_json.output)
    assert told["drifted"] == ["score"]
    assert told["columns"][0]["ks"] == pytest.approx(0.2, abs=0.03)
    assert told["columns"][0]["p_value"] < 0.01
    assert len(as_json.output) < 20_000
    assert quiet.output == "score\n"


class Tags(HTMLParser):
    """Collects the tags of a page and what they point at."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: dict[str, set[str]] = {}
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag without an end."""
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """See that tags end in order."""
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_names_in_it_do_nothing(
    files: tuple[str, str], tmp_path: Path
) -> None:
    page = tmp_path / "report.html"

    run("--reference", files[0], "--current", files[1], "--html", str(page))

    told = page.read_text(encoding="utf-8")
    seen = Tags()
    seen.feed(told)
    assert seen.open == []
    assert "svg" in seen.tags
    assert not {"script", "link", "img", "b", "iframe"} & seen.tags
    assert not {"src", "onload", "srcset"} & set(seen.attributes)
    assert all(href.startswith("#c") for href in seen.attributes["href"])
    assert "&lt;script&gt;alert(1)" in told
    assert "\x1b" not in told
    assert "\u202e" not in told
    assert "http" not in told.replace("http-equiv", "")
    assert len(told) < 100_000


def test_a_page_that_cannot_be_written_is_said(files: tuple[str, str], tmp_path: Path) -> None:
    nowhere = str(tmp_path / "none" / "report.html")

    found = run("--reference", files[0], "--current", files[0], "--html", nowhere)

    assert isinstance(found.exception, Unavailable)


@pytest.mark.parametrize("threshold", ["0", "1", "-1", "nan"])
def test_a_threshold_is_a_share(files: tuple[str, str], threshold: str) -> None:
    found = run("--reference", files[0], "--current", files[1], "--threshold", threshold)

    assert found.exit_code == 2 or isinstance(found.exception, Invalid)
