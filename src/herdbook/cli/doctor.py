"""`herdbook doctor`: what could hurt this register, judged."""

import click

from herdbook.cli.commands import command
from herdbook.cli.output import line
from herdbook.cli.session import Session

_MARKS = {"good": "ok  ", "warning": "warn", "bad": "BAD "}
_COLORS = {"good": "green", "warning": "yellow", "bad": "red"}


@command("doctor", examples=("doctor", "doctor --json", "doctor --url sqlite:///register.db"))
@click.pass_context
def doctor(context: click.Context) -> None:
    """Examine this installation and its database; ends with 1 when something is bad."""
    # The examination needs SQLAlchemy; the help of this command does not.
    from herdbook.cli.examination import Judgement, examine

    session: Session = context.obj
    found = examine(session.settings())
    bad = [finding.name for finding in found if finding.judgement is Judgement.BAD]

    def text() -> str:
        size = max(len(finding.name) for finding in found)
        rows = [
            f"{session.style(_MARKS[f.judgement], fg=_COLORS[f.judgement])}  "
            f"{f.name:{size}}  {line(f.told)}"
            for f in found
        ]
        return "\n".join(rows)

    session.answer({"ok": not bad, "findings": found}, ids=bad, text=text)
    if bad:
        context.exit(1)
