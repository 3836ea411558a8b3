"""What people see: texts made harmless, times made short, tables made to fit.

Texts in a register were written by anyone. What a terminal would obey is shown, never sent.
"""

import os
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import IO, Final

NONE: Final = "-"
NARROW: Final = 8
NAME: Final = 24
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# The joiners that scripts and emoji need; they move nothing.
_JOINERS: Final = frozenset("\u200c\u200d")
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_STEPS: Final = ((_DAY * 365, "year"), (_DAY * 30, "month"), (_DAY, "day"))
_SHORT_STEPS: Final = ((_HOUR, "hour"), (_MINUTE, "minute"))


def clean(text: str) -> str:
    r"""Show what a terminal would obey, keeping line ends.

    Example:
        >>> clean("red \x1b[31m")
        'red \\x1b[31m'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c == "\n" or _visible(c) else _escaped(c) for c in text)


def line(text: str) -> str:
    """Give a text as one harmless line."""
    return clean(" ".join(text.split()) if "\n" in text or "\r" in text else text)


def headline(text: str) -> str:
    """Give the first line of a text, harmless."""
    return clean(text.strip().partition("\n")[0])


def _visible(char: str) -> bool:
    return char in _JOINERS or unicodedata.category(char) not in _HIDDEN


def _escaped(char: str) -> str:
    return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"


def escaped_json(text: str) -> str:
    """Write what a terminal would obey as JSON escapes; the value stays the same."""
    return "".join(c if c in "\n\t" or _visible(c) else _json_escape(c) for c in text)


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def ago(at: datetime, *, now: datetime) -> str:
    """Say how long ago, in the largest unit that fits.

    Example:
        >>> day = datetime(2026, 1, 14, tzinfo=UTC)
        >>> ago(day.replace(hour=1), now=day.replace(hour=3)), ago(day, now=day)
        ('2 hours ago', 'just now')
    """
    seconds = (now - at).total_seconds()
    if seconds < 0:
        return "in the future" if seconds < -_MINUTE else "just now"
    for size, unit in (*_STEPS, *_SHORT_STEPS):
        count = int(seconds // size)
        if count:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


def iso(at: datetime) -> str:
    """Write a time for plain columns: UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def number(value: object) -> str:
    """Write a value of a comparison or a metric.

    Example:
        >>> number(0.85), number(12345678.0), number(True), number(None)
        ('0.85', '12345678', 'yes', '-')
    """
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        whole = value.is_integer() and abs(value) < 1e15
        return str(int(value)) if whole else f"{value:.6g}"
    return line(str(value))


@dataclass(frozen=True, slots=True)
class Look:
    """How a stream wants to be written to.

    Args:
        terminal: whether a person with a capable terminal reads it.
        color: whether to colour.
        width: columns; 0 for as many as it takes.
    """

    terminal: bool = False
    color: bool = False
    width: int = 0


def look(stream: IO[str], *, no_color: bool, environ: Mapping[str, str] | None = None) -> Look:
    """Tell how to write to a stream: `--no-color`, NO_COLOR, FORCE_COLOR, TERM, in that order."""
    environ = os.environ if environ is None else environ
    dumb = environ.get("TERM") == "dumb"
    terminal = stream.isatty() and not dumb
    forced = any(
        environ.get(name, "") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")
    )
    color = not no_color and not environ.get("NO_COLOR") and (forced or terminal)
    width = shutil.get_terminal_size().columns if stream.isatty() else 0
    return Look(terminal=terminal, color=color, width=width)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings.

    Args:
        titles: one a column; a title that begins with `>` is set to the right.
        as_written: whether the titles are names, to be kept as they are.
        rows: texts, which are made harmless when written.
        empty: what to say when there are no rows.
    """

    titles: tuple[str, ...]
    rows: Sequence[Sequence[str]] = field(default_factory=list)
    empty: str = ""
    as_written: bool = False

    @property
    def heads(self) -> list[str]:
        """The titles as they are shown."""
        titles = [title.removeprefix(">") for title in self.titles]
        return titles if self.as_written else [title.upper() for title in titles]

    def text(self, look: Look) -> str:
        """Write it: fitted to a terminal, else in plain columns that are never cut."""
        if not self.rows:
            return self.empty
        rows = [[line(cell) for cell in row] for row in self.rows]
        return _fitted(self, rows, look) if look.terminal else _plain(self, rows)


def _plain(table: Table, rows: list[list[str]]) -> str:
    sizes = [max(len(c) for c in column) for column in zip(table.heads, *rows, strict=True)]
    sides = [">" if title.startswith(">") else "<" for title in table.titles]
    return "\n".join(
        "  ".join(f"{c:{s}{n}}" for c, s, n in zip(row, sides, sizes, strict=True)).rstrip()
        for row in [table.heads, *rows]
    )


def _fitted(table: Table, rows: list[list[str]], look: Look) -> str:
    # Rich costs more than the rest of a command together: only for a terminal's table.
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    every = table.heads
    table, rows = _narrowed(table, rows, look.width)
    left_out = f"not shown: {', '.join(every[len(table.heads) :])}".lower()
    drawn = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    sizes = fitted_sizes([table.heads, *rows], look.width)
    for title, head, size in zip(table.titles, table.heads, sizes, strict=True):
        drawn.add_column(
            head,
            width=size,
            justify="right" if title.startswith(">") else "left",
            overflow="ellipsis",
            no_wrap=True,
        )
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    console = Console(
        width=look.width,
        force_terminal=True,
        no_color=not look.color,
        color_system="standard" if look.color else None,
        highlight=False,
    )
    with console.capture() as captured:
        console.print(drawn)
    shown = [text.rstrip() for text in captured.get().splitlines()]
    if len(table.heads) < len(every):
        shown.append(left_out if len(left_out) <= look.width else f"{left_out[: look.width - 1]}…")
    return "\n".join(shown)


def _narrowed(table: Table, rows: list[list[str]], width: int) -> tuple[Table, list[list[str]]]:
    """Leave out columns at the right until each that is left has room to be read."""
    shown = len(table.titles)
    while shown > 1 and sum(_least(table, rows)[:shown]) + 2 * (shown - 1) > width:
        shown -= 1
    return replace(table, titles=table.titles[:shown]), [row[:shown] for row in rows]


def _least(table: Table, rows: list[list[str]]) -> list[int]:
    from rich.cells import cell_len

    columns = zip(table.heads, *rows, strict=True)
    sizes = [max(cell_len(cell) for cell in column) for column in columns]
    # What names a row stays whole as far as it can; a column that is a mark names nothing.
    name = next((at for at, size in enumerate(sizes) if size > 2), 0)
    return [min(size, NAME if at == name else NARROW) for at, size in enumerate(sizes)]


def fitted_sizes(rows: list[list[str]], width: int) -> list[int]:
    """Give the widths of columns two spaces apart: the right ones give way first.

    Example:
        >>> fitted_sizes([["majora:v1", "a long description"]], 20)
        [9, 9]
    """
    from rich.cells import cell_len

    sizes = [max(cell_len(cell) for cell in column) for column in zip(*rows, strict=True)]
    over = sum(sizes) + 2 * (len(sizes) - 1) - width
    for least in (NARROW, 1):
        for at in reversed(range(len(sizes))):
            given = min(max(over, 0), max(sizes[at] - least, 0))
            sizes[at] -= given
            over -= given
    return sizes


def facts(pairs: Sequence[tuple[str, str]], *, indent: str = "  ") -> list[str]:
    """Write names and values in two columns, leaving out what is empty; notes keep their lines."""
    shown = [(name, text) for name, text in pairs if text]
    size = max((len(name) for name, _ in shown), default=0)
    lines = []
    for name, text in shown:
        first, *rest = clean(text).split("\n")
        lines.append(f"{indent}{name:{size}}  {first}".rstrip())
        lines += [f"{indent}{'':{size}}  {more}".rstrip() for more in rest]
    return lines
