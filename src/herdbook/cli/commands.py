"""What every command has: examples in its help, the global options, the nearest name at a slip."""

import difflib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from herdbook.cli.session import Session

GLOBAL_OPTIONS = "--url, --json, -q, --no-color, -v"


def global_options(*, hidden: bool = False) -> list[click.Parameter]:
    """Give the options that stand before or after any command."""

    def option(*names: str, **settings: Any) -> click.Option:
        return click.Option(
            list(names), expose_value=False, callback=_note, hidden=hidden, **settings
        )

    return [
        option("--url", metavar="URL", help="The register: a database or a server."),
        option("--json", "as_json", is_flag=True, help="Write JSON instead of text."),
        option("--quiet", "-q", is_flag=True, help="Write only names and references."),
        option("--no-color", is_flag=True, help="Write without colour."),
        option("--verbose", "-v", "--debug", is_flag=True, help="Show where an error came from."),
    ]


def _note(context: click.Context, option: click.Parameter, value: object) -> None:
    session = context.ensure_object(Session)
    if value:
        setattr(session, str(option.name), value)


class Command(click.Command):
    """A command with examples.

    Args:
        examples: command lines without the leading `herdbook`.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.examples = tuple(examples)
        self.params += global_options(hidden=True)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what it does, then examples."""
        super().format_help_text(ctx, formatter)
        write_examples(self.examples, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Point at the options every command has."""
        write_footer(formatter)


class Group(click.Group):
    """A noun with its verbs.

    Args:
        default: the verb meant when the first word is none.
        examples: command lines without the leading `herdbook`.
    """

    command_class = Command

    def __init__(
        self, *args: Any, default: str = "", examples: Sequence[str] = (), **settings: Any
    ) -> None:
        super().__init__(*args, **settings)
        self.default = default
        self.examples = tuple(examples)
        self.params += global_options(hidden=True)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what it is about, then examples."""
        super().format_help_text(ctx, formatter)
        write_examples(self.examples, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Point at the options every command has."""
        write_footer(formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default verb where a noun is followed by none."""
        words = [at for at, word in enumerate(args) if not word.startswith("-")]
        named = any(args[at] in self.commands for at in words)
        if self.default and words and not named:
            # `versions sttus majora:v1 draft` is a slip, not a model called sttus.
            if words[:2] == [0, 1]:
                raise no_such_command(args[0], list(self.commands), ctx)
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which one is nearest."""
        if args and self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            raise no_such_command(args[0], self.list_commands(ctx), ctx)
        return super().resolve_command(ctx, args)


@dataclass(frozen=True, slots=True)
class Later:
    """A command that is imported when it is used.

    Args:
        section: the heading it stands under in the help.
        target: `module:name`.
        summary: its line in the first page of help.
    """

    section: str
    target: str
    summary: str


class LazyGroup(Group):
    """The root: knows every command by name and imports only the one that is used.

    Args:
        later: name to command, in the order of the help.
    """

    def __init__(self, *args: Any, later: dict[str, Later], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.later = later
        self.params = [p for p in self.params if p.name == "version"] + global_options()

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Give the names, in the order of the help."""
        return list(self.later)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in self.later:
            return None
        module, _, name = self.later[cmd_name].target.partition(":")
        found: click.Command = getattr(importlib.import_module(module), name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the names under their headings without importing one."""
        for section in dict.fromkeys(later.section for later in self.later.values()):
            rows = [(n, x.summary) for n, x in self.later.items() if x.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write nothing: the global options stand above."""


def no_such_command(word: str, known: Sequence[str], ctx: click.Context) -> click.UsageError:
    """Give the error for a slip, with the nearest name."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    return click.UsageError(f"there is no command {word!r}; {hint}", ctx=ctx)


def write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    """Write the examples of a help page, as they are typed."""
    if examples:
        with formatter.section("Examples"):
            for line in examples:
                formatter.write(f"{'':{formatter.current_indent}}herdbook {line}\n")


def write_footer(formatter: click.HelpFormatter) -> None:
    """Write where the global options are explained."""
    formatter.write_paragraph()
    formatter.write_text(f"Also {GLOBAL_OPTIONS}; `herdbook --help` explains them.")


def command(
    name: str, *, examples: Sequence[str], **settings: Any
) -> Callable[[Callable[..., None]], click.Command]:
    """Make a top-level command of a function."""
    return click.command(name, cls=Command, examples=examples, **settings)


def group(
    name: str, *, examples: Sequence[str], default: str = "", **settings: Any
) -> Callable[[Callable[..., None]], Group]:
    """Make a noun of a function."""
    return click.group(
        name, cls=Group, examples=examples, default=default, no_args_is_help=True, **settings
    )
