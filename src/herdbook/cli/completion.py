"""`herdbook completion`."""

import click
from click.shell_completion import get_completion_class

from herdbook.cli.commands import command

SHELLS = ("bash", "zsh", "fish")


@command(
    "completion",
    examples=(
        "completion bash > ~/.local/share/bash-completion/completions/herdbook",
        "completion zsh > ~/.zfunc/_herdbook",
        "completion fish > ~/.config/fish/completions/herdbook.fish",
    ),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Write the completion script of a shell; models are completed by name."""
    root = context.find_root()
    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(root.command, {}, "herdbook", "_HERDBOOK_COMPLETE").source())
