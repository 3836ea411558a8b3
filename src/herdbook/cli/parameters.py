"""Arguments and options that several commands take."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from herdbook.core.models import Model, ParentKind, Status, Version
from herdbook.core.numbers import Bump
from herdbook.core.pages import PAGE_DEFAULT
from herdbook.errors import HerdbookError, Invalid

Decorator = Callable[[Callable[..., None]], Callable[..., None]]
STATUSES: Final = tuple(str(status) for status in Status)
METRICS: Final = {
    "accuracy": "accuracy",
    "f1-score": "f1",
    "perplexity": "perplexity",
    "bleu": "bleu",
    "rouge1": "rouge1",
    "rouge2": "rouge2",
    "rougeL": "rougeL",
    "speed": "tokens_per_second",
    "memory-mb": "memory_mb",
    "latency-ms": "latency_ms",
}
_METRIC_HELP = {
    "speed": "Tokens per second.",
    "memory-mb": "Memory in megabytes.",
    "latency-ms": "Latency in milliseconds.",
}


class ModelName(click.types.StringParamType):
    """The name of a model, or a reference; completed from a database, never over a network."""

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """Give the names that begin so."""
        try:
            return [CompletionItem(name) for name in _names(ctx, incomplete)]
        except HerdbookError:
            return []


def _names(ctx: click.Context, start: str) -> list[str]:
    from herdbook.cli.session import Session

    session = ctx.ensure_object(Session)
    address = session.settings().database_url
    path = Path(address.removeprefix("sqlite:///"))
    if not address.startswith("sqlite:///") or not path.is_file():
        return []
    with session.book() as book:
        return [model.name for model in book.models.each() if model.name.startswith(start)]


MODEL: Final = ModelName()
_ELSEWHERE: Final = frozenset({"local", "hf", "s3", "gs", "az"})


def model_argument(*, required: bool = True) -> Decorator:
    """Take MODEL."""
    name = "MODEL" if required else "[MODEL]"
    return click.argument("model", type=MODEL, metavar=name, required=required)


def ref_argument() -> Decorator:
    """Take REF."""
    return click.argument("ref", type=MODEL, metavar="REF", callback=_of_the_register)


def _of_the_register(ctx: click.Context, param: click.Parameter, text: str) -> str:  # noqa: ARG001 - click's signature
    scheme, _, rest = text.partition(":")
    # A model may be called hf: hf:v2 is a version of it.
    if scheme in _ELSEWHERE and rest and not rest.lstrip("vV")[:1].isdigit():
        raise Invalid(
            f"{text!r:.200} is not in the register; this command takes a version, as majora:v2, "
            "and `herdbook artifacts download REF` fetches from elsewhere",
            field="ref",
        )
    return text


def reference(model: str, version: str) -> str:
    """Give `majora:v1` for `majora v1`, `majora@blue` for `majora @blue`, a whole one as it is.

    Example:
        >>> reference("majora", "v1"), reference("majora", "@blue"), reference("majora:v1", "")
        ('majora:v1', 'majora@blue', 'majora:v1')
    """
    if not version:
        return model
    if ":" in model or "@" in model:
        raise click.UsageError(f"{model} names a version already; leave {version} out")
    return f"{model}{version}" if version.startswith("@") else f"{model}:{version}"


def is_reference(text: str) -> bool:
    """Whether a word names a version, not a model alone."""
    return ":" in text or "@" in text


def page_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take --limit and --page."""
    command = click.option("--page", metavar="TOKEN", help="Go on where a page ended.")(command)
    return click.option(
        "--limit",
        "page_size",
        type=click.IntRange(1, 1_000),
        default=PAGE_DEFAULT,
        show_default=True,
        help="How many to show.",
    )(command)


def reason_option(command: Callable[..., None]) -> Callable[..., None]:
    """Take --reason."""
    return click.option("--reason", default="", help="Why; kept in the history.")(command)


def yes_option(command: Callable[..., None]) -> Callable[..., None]:
    """Take --yes."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask.")(command)


def dry_run_option(command: Callable[..., None]) -> Callable[..., None]:
    """Take --dry-run."""
    return click.option("--dry-run", is_flag=True, help="Show what would happen.")(command)


def epoch_option(command: Callable[..., None]) -> Callable[..., None]:
    """Take --expected-epoch."""
    return click.option(
        "--expected-epoch", type=int, help="Refuse if the alias moved since this epoch."
    )(command)


def alias_option(command: Callable[..., None]) -> Callable[..., None]:
    """Take --alias."""
    return click.option(
        "--alias", default="champion", show_default=True, help="The alias to move."
    )(command)


def status_option(command: Callable[..., None]) -> Callable[..., None]:
    """Take --status."""
    return click.option("--status", type=click.Choice(STATUSES), help="Where it begins.")(command)


def metric_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take the standard metrics by name and --metric for any other."""
    command = click.option("--metrics-dataset", default="", help="What they were scored on.")(
        command
    )
    command = click.option("--metrics-source", default="", help="What scored them.")(command)
    command = click.option(
        "--metric", "metric", multiple=True, metavar="NAME=VALUE", help="Any other score."
    )(command)
    for name in reversed(METRICS):
        command = click.option(
            f"--{name}", _key(name), type=float, help=_METRIC_HELP.get(name, "A score.")
        )(command)
    return command


def _key(name: str) -> str:
    return "metric_" + METRICS[name].lower()


def taken_metrics(given: dict[str, Any]) -> dict[str, float]:
    """Take the metrics out of a command's options."""
    found: dict[str, float] = {}
    for standard in METRICS.values():
        value = given.pop("metric_" + standard.lower())
        if value is not None:
            found[standard] = value
    for text in given.pop("metric"):
        name, value = _pair(text, option="--metric", example="ndcg@10=0.41")
        if name in found:
            raise Invalid(f"--metric names {name} twice; give it once", field="metrics")
        found[name] = _float(name, value)
    return found


def _float(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Invalid(
            f"metrics.{name} is {text!r:.40}; it must be a number", field=f"metrics.{name}"
        ) from None


def _pair(text: str, *, option: str, example: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Invalid(f"{option} {text!r:.60} is no pair; write {option} {example}")
    return name.strip(), value.strip()


def fact_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take what makes a version what it is: training, files, parents, data, dependencies."""
    for option in reversed(_FACTS):
        command = option(command)
    return command


def _text(name: str, help_: str) -> Decorator:
    return click.option(name, help=help_)


def _many(name: str, metavar: str, help_: str) -> Decorator:
    return click.option(name, multiple=True, metavar=metavar, help=f"{help_} (repeat)")


_FACTS: Final[tuple[Decorator, ...]] = (
    _text("--base-model", "What it was trained from."),
    _text("--framework", "Such as unsloth, mlx, huggingface."),
    click.option("--samples", type=int, help="Training samples."),
    click.option("--epochs", type=float, help="May be a fraction."),
    click.option("--batch-size", type=int, help="Samples a step."),
    click.option("--learning-rate", type=float, help="Such as 2e-4."),
    click.option("--duration-hours", type=float, help="How long it trained."),
    click.option("--cost-usd", type=float, help="What training cost."),
    _text("--hardware", 'Such as "M2 Max".'),
    _text("--lora-path", "Where the LoRA weights are."),
    _text("--gguf-path", "Where the GGUF file is."),
    _text("--checkpoint-path", "Where the full checkpoint is."),
    _text("--config-path", "Where the configuration is."),
    _many("--file", "ROLE=LOCATION", "Any other file."),
    _many("--parent", "REF", "A version it came from."),
    click.option(
        "--parent-kind",
        type=click.Choice([str(kind) for kind in ParentKind]),
        help="How it came from its parents.",
    ),
    _many("--training-data", "NAME[,NAME]", "Data sets it learned from."),
    _many("--dependency", "NAME", "What it needs to run."),
    _text("--git-commit", "Left out, the commit of this folder."),
    _text("--metadata", "A JSON object, @FILE, or - for standard input."),
)
_ROLES: Final = ("lora", "gguf", "checkpoint", "config")


def taken_facts(given: dict[str, Any]) -> dict[str, Any]:
    """Turn the options of `fact_options` into arguments of `register` and `revise`."""
    files = _files(given)
    parents = given.pop("parent")
    data = _split(given.pop("training_data"))
    dependencies = given.pop("dependency")
    metadata = given.pop("metadata")
    given |= {"files": files} if files else {}
    given |= {"parent": parents} if parents else {}
    given |= {"training_data": data} if data else {}
    given |= {"dependencies": dependencies} if dependencies else {}
    given |= {"metadata": json_object(metadata)} if metadata else {}
    return given


def _files(given: dict[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for role in _ROLES:
        location = given.pop(f"{role}_path")
        if location:
            found[role] = [location]
    for text in given.pop("file"):
        role, location = _pair(text, option="--file", example="tokenizer=out/tokenizer.json")
        found.setdefault(role, []).append(location)
    return found


def _split(given: Iterable[str]) -> list[str]:
    return [name.strip() for text in given for name in text.split(",") if name.strip()]


def json_object(text: str) -> Mapping[str, object]:
    """Read a JSON object given in place, as @FILE, or on standard input."""
    if text == "-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        text = Path(text[1:]).read_text(encoding="utf-8")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Invalid(f"--metadata is not JSON: {error}", field="metadata") from None
    if not isinstance(found, dict):
        raise Invalid('--metadata must be an object such as {"team": "search"}', field="metadata")
    return found


def about_options(command: Callable[..., None]) -> Callable[..., None]:
    """Take --description, --notes and --tag."""
    command = _many("--tag", "KEY[=VALUE]", "A tag.")(command)
    command = click.option("--notes", help="What else to know.")(command)
    return click.option("--description", help="What it is, in a sentence.")(command)


def untag_option(command: Callable[..., None]) -> Callable[..., None]:
    """Take --untag."""
    return _many("--untag", "KEY", "A tag to take away.")(command)


def taken_tags(given: dict[str, Any]) -> dict[str, Any]:
    """Turn --tag and --untag into arguments."""
    pairs = (text.partition("=") for text in given.pop("tag"))
    tags = {key.strip(): value.strip() for key, _, value in pairs}
    untag = given.pop("untag", ())
    given |= {"tags": tags} if tags else {}
    given |= {"untag": list(untag)} if untag else {}
    return given


def something(given: dict[str, Any]) -> dict[str, Any]:
    """Give what is to change as it is.

    Raises:
        click.UsageError: nothing was said.
    """
    if all(value is None for value in given.values()):
        options = [p for p in click.get_current_context().command.params if p.opts[0][0] == "-"]
        first = ", ".join(option.opts[0] for option in options[:3])
        raise click.UsageError(f"what is to change? Give an option such as {first}")
    return given


def told_change(name: str, before: Model | Version, after: Model | Version) -> str:
    """Say whether a change changed anything; being asked again is no change."""
    same = replace(before, updated_at=after.updated_at) == after
    return f"{name} is as it was: nothing changed." if same else f"{name} is changed."


def bump_option(command: Callable[..., None]) -> Callable[..., None]:
    """Take --bump."""
    return click.option(
        "--bump",
        type=click.Choice([str(bump) for bump in Bump]),
        help="Which part of the number to raise.",
    )(command)
