"""`herdbook init`: a first look."""

from typing import TYPE_CHECKING

import click

from herdbook.cli.commands import command
from herdbook.cli.session import Session

if TYPE_CHECKING:
    from herdbook.front.book import Herdbook

NEXT = """\
What to do next:
  herdbook add majora v1 --accuracy 0.85    register a version
  herdbook deploy majora v1                 put it into production
  herdbook list                             see what there is
  herdbook server start                     share it over HTTP
  herdbook completion bash                  complete names with Tab"""

NEXT_EXAMPLE = """\
What to do next:
  herdbook list                             see what there is
  herdbook compare majora v1 v2             what is the difference?
  herdbook tree majora                      who came from whom?
  herdbook rollback majora                  back to the one before
  herdbook deployments history majora       who did what, when"""


@command("init", examples=("init", "init --example"))
@click.option("--example", is_flag=True, help="Register a small example: majora, v1 and v2.")
@click.pass_obj
def init(session: Session, *, example: bool) -> None:
    """Make the register, and say what to do next."""
    with session.book() as book:
        made = _example(book) if example else []
        address, models = book.address, len(book.models.list(page_size=1).items)
    value = {"register": address, "registered": made}
    text = f"The register is {address}.\n"
    if example and not made:
        text += "It holds a model majora already; nothing was added.\n"
    for ref in made:
        text += f"Registered {ref}.\n"
    session.answer(value, ids=[address], text=lambda: f"{text}\n{NEXT_EXAMPLE if models else NEXT}")


def _example(book: "Herdbook") -> list[str]:
    if any(True for _ in book.models.each("name = 'majora'")):
        return []
    one = book.models.register(
        "majora",
        "v1",
        base_model="Qwen2.5-Coder-7B",
        framework="unsloth",
        samples=223,
        epochs=3,
        cost_usd=0.80,
        hardware="M2 Max",
        training_data=["oracle", "toolbench"],
        metrics={"accuracy": 0.85, "f1_score": 0.82},
        description="The first one",
        git_commit="",
    )
    book.deployments.promote(one.ref, reason="the first one")
    two = book.models.register(
        "majora",
        "v2",
        parent=one.ref,
        framework="unsloth",
        samples=446,
        epochs=3,
        cost_usd=1.60,
        training_data=["oracle", "toolbench"],
        metrics={"accuracy": 0.87, "f1_score": 0.84},
        description="Twice the samples",
        git_commit="",
    )
    book.deployments.promote(two.ref, reason="better in both scores")
    return [one.ref, two.ref]
